import type { IncomingBatch } from '../../../hub/ingest/bus.ts';
import type { Ingest } from '../../../hub/ingest/ingest.ts';

/** As Kafka hands them over: a few partitions at a time, each in order, so many messages at once. */
export interface Partitions {
  put(at: number, batch: IncomingBatch): void;
  /** The same, and how long until it is stored, milliseconds. */
  timed(at: number, batch: IncomingBatch): void;
  waiting(): number;
  /** Resolves when all that was put is stored. */
  idle(): Promise<void>;
  readonly latenciesMs: number[];
  stop(): void;
}

interface Message {
  readonly batch: IncomingBatch;
  readonly sinceMs: number | null;
}

/** As kafka-partition.ts hands over. */
const atOnce = { bytes: 256 * 1024, messages: 256 } as const;

export function openPartitions(ingest: Ingest, count: number): Partitions {
  const queues = Array.from({ length: count }, (): Message[] => []);
  const busy = new Set<number>();
  const latenciesMs: number[] = [];
  const stopping = new AbortController();

  async function workOn(at: number): Promise<void> {
    const queue = queues[at] ?? [];
    if (busy.has(at)) return;
    busy.add(at);
    while (queue.length > 0 && !stopping.signal.aborted) {
      let [count, bytes] = [0, 0];
      while (count < Math.min(queue.length, atOnce.messages) && (count === 0 || bytes < atOnce.bytes)) {
        bytes += queue[count]?.batch.value.length ?? 0;
        count += 1;
      }
      const chunk = queue.splice(0, count);
      await ingest.handle(
        chunk.map(({ batch }) => batch),
        stopping.signal,
      );
      const doneMs = performance.now();
      for (const { sinceMs } of chunk) if (sinceMs !== null) latenciesMs.push(doneMs - sinceMs);
    }
    busy.delete(at);
  }

  const running = new Set<Promise<void>>();

  function add(at: number, batch: IncomingBatch, sinceMs: number | null): void {
    queues[at % count]?.push({ batch, sinceMs });
    const work = workOn(at % count)
      .catch(() => undefined)
      .finally(() => running.delete(work));
    running.add(work);
  }

  return {
    put: (at, batch) => add(at, batch, null),
    timed: (at, batch) => add(at, batch, performance.now()),
    waiting: () => queues.reduce((sum, queue) => sum + queue.length, 0),
    async idle() {
      while (running.size > 0) await Promise.all(running);
    },
    latenciesMs,
    stop: () => stopping.abort(),
  };
}
