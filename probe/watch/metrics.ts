import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { networkStates } from '../../shared/lease.ts';
import type { Result } from '../../shared/result.ts';
import type { HubClock } from '../clock/hub-clock.ts';
import type { Outbox } from '../deliver/outbox.ts';
import type { LeaseLoop } from '../lease/lease-loop.ts';
import type { NetworkWatch } from '../network/network-watch.ts';
import type { EvidenceWatch } from '../run/evidence-watch.ts';
import type { Runner } from '../run/runner.ts';
import type { Schedule } from '../schedule/schedule.ts';
import type { VersionWatch } from './version-watch.ts';

/** What a probe tells of itself on request (`--metrics`). */
export interface ProbeMetrics {
  observe(result: Result): void;
  /** What is read whenever somebody asks. */
  watch(sources: MetricsSources): void;
}

export interface MetricsSources {
  readonly schedule: Pick<Schedule, 'size'>;
  readonly runner: Pick<Runner, 'running' | 'waiting'>;
  readonly outbox: Pick<Outbox, 'status'>;
  readonly leases: Pick<LeaseLoop, 'current'>;
  readonly evidence: Pick<EvidenceWatch, 'dropped'>;
  readonly updates: Pick<VersionWatch, 'refusedFrom' | 'isBehind'>;
  readonly network: Pick<NetworkWatch, 'report' | 'held'>;
  readonly clock: Pick<HubClock, 'offsetUs' | 'learned'>;
  readonly noiseUs: () => number;
  /** Hub time. */
  readonly nowUs: () => number;
}

export const noMetrics: ProbeMetrics = { observe: () => undefined, watch: () => undefined };

export function createMetrics(registry: Registry): ProbeMetrics {
  const registers = [registry];
  const checks = new Counter({
    name: 'parallax_probe_results_total',
    help: 'Results by outcome, and by code where the check was skipped.',
    labelNames: ['outcome', 'code'] as const,
    registers,
  });
  const late = new Histogram({
    name: 'parallax_probe_lateness_seconds',
    help: 'From the instant a slot was due to the start of its check.',
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers,
  });
  return {
    observe({ outcome, failure, lateBy }) {
      checks.inc({ outcome, code: outcome === 'skipped' ? (failure?.code ?? '') : '' });
      if (outcome !== 'skipped') late.observe(Math.max(0, lateBy) / 1_000_000);
    },
    watch({ schedule, runner, outbox, leases, evidence, updates, network, clock, noiseUs, nowUs }) {
      const gauge = (name: string, help: string, value: () => number) =>
        new Gauge({
          name: `parallax_probe_${name}`,
          help,
          registers,
          collect() {
            this.set(value());
          },
        });
      gauge('endpoints', 'Endpoints in force.', () => schedule.size);
      gauge('checks_running', 'Checks that run now.', runner.running);
      gauge('checks_waiting', 'Checks that are due and wait for a place.', runner.waiting);
      gauge('noise_seconds', 'p99 of the delay of its own event loop.', () => noiseUs() / 1_000_000);
      gauge('lease_age_seconds', 'Since the lease in force was signed; NaN for none.', () => {
        const lease = leases.current();
        return lease ? (nowUs() - lease.now) / 1_000_000 : Number.NaN;
      });
      gauge(
        'evidence_dropped',
        'Failures told without evidence, as too many came within a minute.',
        evidence.dropped,
      );
      gauge('update_available', '1 where the hub is of a newer version.', () => Number(updates.isBehind()));
      gauge(
        'refused_from_seconds',
        'When the hub begins to refuse this version, Unix time; NaN for never.',
        () => {
          return updates.refusedFrom() ?? Number.NaN;
        },
      );
      gauge('network_state', '0 well, 1 doubtful, 2 gone.', () =>
        networkStates.indexOf(network.report().state),
      );
      gauge('results_held', 'Results that wait for a look at the network.', network.held);
      gauge(
        'clock_offset_seconds',
        "How far this machine's clock is ahead of hub time; NaN until it is known.",
        () => (clock.learned() ? clock.offsetUs() / 1_000_000 : Number.NaN),
      );
      const { status } = outbox;
      gauge('spool_bytes', 'Results on disk that are not durable yet.', () => status().spoolBytes);
      gauge('results_dropped', 'Results that a full spool has dropped.', () => status().dropped);
    },
  };
}
