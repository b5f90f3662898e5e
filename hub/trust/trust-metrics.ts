import { Counter, Gauge, Registry } from 'prom-client';

/** What trust says of itself. */
export interface TrustMetrics {
  /** One answered request to enroll: `enrolled`, `repeated`, or the problem's code. */
  enrolled(outcome: string): void;
  /** Rows of probes whose HMAC does not hold, as of now. */
  untrustedProbes(count: number): void;
}

export function createTrustMetrics(registry: Registry = new Registry()): TrustMetrics {
  const registers = [registry];
  const enrollments = new Counter({
    name: 'parallax_enrollments_total',
    help: 'Requests to enroll, by outcome; enrollment.spent is a token that somebody used again with another key',
    labelNames: ['outcome'],
    registers,
  });
  const untrusted = new Gauge({
    name: 'parallax_untrusted_probe_rows',
    help: 'Probes in the database that the hub did not write and does not believe',
    registers,
  });
  return {
    enrolled: (outcome) => enrollments.inc({ outcome }),
    untrustedProbes: (count) => untrusted.set(count),
  };
}
