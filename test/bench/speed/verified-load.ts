import { createHash } from 'node:crypto';
import type { LogPosition } from '../../../hub/ingest/bus.ts';
import type { VerifiedBatch } from '../../../hub/ingest/verify.ts';
import { type LoadShape, resultAt, sharesOf } from './load-shape.ts';
import { dueAt } from './table.ts';

export const benchLog = { clusterId: 'bench', topic: 'bench.parallax.results.v1', partitions: 32 } as const;

export function streamOfProbe(probeId: number): string {
  return createHash('sha256').update(`stream of probe ${probeId}`).digest('hex').slice(0, 32);
}

export function partitionOfProbe(probeId: number): number {
  return probeId % benchLog.partitions;
}

/**
 * Batches as verification hands them on, round after round without end, in the order in which slots fall due over all
 * probes. `only` leaves out what is not of these partitions.
 */
export function* verifiedLoad(
  shape: LoadShape & { readonly batchSize: number },
  fromUs: number,
  only: (partition: number) => boolean,
): Generator<VerifiedBatch> {
  const { clusterId, topic } = benchLog;
  const offsets = new Map<number, number>();
  const shares = sharesOf(shape)
    .filter(({ probeId }) => only(partitionOfProbe(probeId)))
    .map((share) => ({ ...share, share, stream: streamOfProbe(share.probeId), seq: 0 }));
  const longest = Math.max(...shares.map(({ endpointIds }) => endpointIds.length));
  for (let roundUs = fromUs; ; roundUs += shape.intervalUs) {
    for (let at = 0; at < longest; at += shape.batchSize) {
      for (const one of shares) {
        const { endpointIds, probeId, regionId, share, stream } = one;
        if (at >= endpointIds.length) continue;
        one.seq += 1;
        const partition = partitionOfProbe(probeId);
        const offset = offsets.get(partition) ?? 0;
        offsets.set(partition, offset + 1);
        const results = Array.from(endpointIds.subarray(at, at + shape.batchSize), (id, index) =>
          resultAt(share, id, dueAt(shape, endpointIds.length, at + index, roundUs)),
        );
        const position: LogPosition = { clusterId, topic, partition, offset, appendedAt: roundUs / 1000 };
        yield {
          incoming: {
            key: stream,
            value: new Uint8Array(),
            headers: { kid: `probe ${probeId}`, sig: new Uint8Array(), schema: '1' },
            position,
          },
          claim: { stream, seq: one.seq, probeId, gaps: [] },
          regionId,
          results,
          rejects: [],
          doubt: null,
        };
      }
    }
  }
}
