import { createHash } from 'node:crypto';
import type { Result } from '../../../shared/result.ts';
import { type LoadShape, type ProbeShare, resultAt, sharesOf } from './load-shape.ts';

export interface LoadOptions extends LoadShape {
  readonly batchSize: number;
  /** When the first round begins, epoch microseconds. */
  readonly fromUs: number;
}

/** One batch's turn: whose it is, and what is in it. */
export interface Turn {
  readonly share: ProbeShare;
  readonly stream: string;
  readonly seq: number;
  readonly results: readonly Result[];
}

/** A probe's one stream: 32 hex digits. */
export function streamOfProbe(probeId: number): string {
  return createHash('sha256').update(`stream of probe ${probeId}`).digest('hex').slice(0, 32);
}

/** Batches round after round without end, in the order in which slots fall due over all probes. */
export function* loadTurns(
  load: LoadOptions,
  only: (probeId: number) => boolean = () => true,
): Generator<Turn, never> {
  const probes = sharesOf(load)
    .filter(({ probeId }) => only(probeId))
    .map((share) => ({ share, stream: streamOfProbe(share.probeId), seq: 0 }));
  const longest = Math.max(...probes.map(({ share }) => share.endpointIds.length));
  for (let roundUs = load.fromUs; ; roundUs += load.intervalUs) {
    for (let at = 0; at < longest; at += load.batchSize) {
      for (const probe of probes) {
        const { share, stream } = probe;
        const { endpointIds } = share;
        if (at >= endpointIds.length) continue;
        probe.seq += 1;
        const results = Array.from(endpointIds.subarray(at, at + load.batchSize), (id, index) =>
          resultAt(share, id, dueAt(load, endpointIds.length, at + index, roundUs)),
        );
        yield { share, stream, seq: probe.seq, results };
      }
    }
  }
}

/** Spread evenly over the interval, in the order of the share. */
export function dueAt({ intervalUs }: LoadShape, count: number, index: number, roundUs: number): number {
  return roundUs + Math.floor((index * intervalUs) / count);
}
