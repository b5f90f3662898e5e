import type { LogPosition } from '../../../hub/ingest/bus.ts';
import type { VerifiedBatch } from '../../../hub/ingest/verify.ts';
import { currentBatchSchema } from '../../../shared/batch-schema.ts';
import { type LoadOptions, loadTurns } from './load-turns.ts';

export const benchLog = { clusterId: 'bench', topic: 'bench.parallax.results.v1', partitions: 32 } as const;

/** Batches as verification hands them on, those of some partitions of the log alone. */
export function* verifiedLoad(
  load: LoadOptions,
  only: (partition: number) => boolean,
): Generator<VerifiedBatch, never> {
  const { clusterId, topic, partitions } = benchLog;
  const offsets = new Map<number, number>();
  const turns = loadTurns(load, (probeId) => only(probeId % partitions));
  for (;;) {
    const { share, stream, seq, results } = turns.next().value;
    const { probeId, regionId } = share;
    const partition = probeId % partitions;
    const offset = offsets.get(partition) ?? 0;
    offsets.set(partition, offset + 1);
    const position: LogPosition = { clusterId, topic, partition, offset, appendedAt: load.fromUs / 1000 };
    yield {
      incoming: {
        key: stream,
        value: new Uint8Array(),
        headers: { kid: `probe ${probeId}`, sig: new Uint8Array(), schema: String(currentBatchSchema) },
        position,
      },
      claim: { stream, seq, probeId, gaps: [] },
      regionId,
      results,
      rejects: [],
      doubt: null,
    };
  }
}
