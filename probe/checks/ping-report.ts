/** What `ping` said: iputils in the C locale. */
export interface PingReport {
  /** Round trips in milliseconds, by the request's number from 1; duplicates are left out. */
  readonly roundTripsMs: ReadonlyMap<number, number>;
  /** Of the last reply. */
  readonly ttl: number | null;
  /** An error that a router or this machine sent in place of a reply. */
  readonly error: { readonly from: string; readonly what: PingError } | null;
  readonly duplicates: number;
}

export type PingError = 'unreachable' | 'prohibited' | 'ttl exceeded' | 'too big';

const reply = /icmp_seq=(\d+) ttl=(\d+) time=(\d+(?:\.\d+)?) ms(.*)$/;
const trouble = /^From ([0-9a-fA-F.:]+)(?:%\w+)?:? icmp_seq=(\d+) (.+)$/;
const kinds: readonly (readonly [RegExp, PingError])[] = [
  [/Time to live exceeded|Hop limit/i, 'ttl exceeded'],
  [/Frag needed|Packet too big|Message too long/i, 'too big'],
  [/Prohibited|Administratively|Filtered/i, 'prohibited'],
  [/Unreachable|No route|Beyond scope|Unknown code|Failed policy|Reject/i, 'unreachable'],
];

/** Reads what it wrote to its standard output, a line a reply. What it does not know it passes over. */
export function readPing(text: string): PingReport {
  const roundTripsMs = new Map<number, number>();
  let ttl: number | null = null;
  let error: PingReport['error'] = null;
  let duplicates = 0;
  for (const line of text.split('\n')) {
    const [, sequence, hops, time, rest] = reply.exec(line) ?? [];
    if (sequence !== undefined && !/DIFFERENT ADDRESS|BAD CHECKSUM|wrong data/i.test(rest ?? '')) {
      const number = Number(sequence);
      if (/DUP!/.test(rest ?? '') || roundTripsMs.has(number)) {
        duplicates += 1;
        continue;
      }
      roundTripsMs.set(number, Number(time));
      ttl = Number(hops);
      continue;
    }
    const [, from, , what = ''] = trouble.exec(line) ?? [];
    const kind = kinds.find(([pattern]) => pattern.test(what))?.[1];
    if (from !== undefined && kind !== undefined) error ??= { from, what: kind };
  }
  return { roundTripsMs, ttl, error, duplicates };
}

export interface PingFigures {
  readonly received: number;
  /** With at most two decimals. */
  readonly lossPercent: number;
  /** Milliseconds with at most three decimals; null where nothing came back. */
  readonly minMs: number | null;
  readonly avgMs: number | null;
  readonly maxMs: number | null;
  /** Mean difference between a round trip and the one before it; null with fewer than two. */
  readonly jitterMs: number | null;
}

export function pingFigures(sent: number, roundTripsMs: ReadonlyMap<number, number>): PingFigures {
  const inOrder = [...roundTripsMs].sort(([a], [b]) => a - b).map(([, ms]) => ms);
  const received = inOrder.length;
  const lossPercent = Math.round((10_000 * (sent - received)) / sent) / 100;
  const mean = (values: readonly number[]) =>
    values.length === 0 ? null : thousandths(values.reduce((sum, ms) => sum + ms, 0) / values.length);
  const steps = inOrder.slice(1).map((ms, index) => Math.abs(ms - (inOrder[index] ?? ms)));
  return {
    received,
    lossPercent,
    minMs: received === 0 ? null : Math.min(...inOrder),
    avgMs: mean(inOrder),
    maxMs: received === 0 ? null : Math.max(...inOrder),
    jitterMs: mean(steps),
  };
}

const thousandths = (ms: number) => Math.round(ms * 1000) / 1000;
