import type { Logger } from 'pino';
import type { SealedBatch } from '../../shared/batch.ts';
import type { KafkaAccess } from '../../shared/lease.ts';
import type { KafkaWay } from './kafka-way.ts';
import { DeliveryError, type Way } from './way.ts';

export const deliveries = ['auto', 'kafka', 'relay'] as const;
export type Delivery = (typeof deliveries)[number];
export type WayName = 'kafka' | 'relay';

export interface WaysOptions {
  readonly delivery: Delivery;
  readonly relay: Way;
  readonly openKafka: (access: KafkaAccess) => KafkaWay;
  readonly log: Logger;
  /** Told which way each batch was taken, or not. */
  readonly onTried: (way: WayName, outcome: 'taken' | 'away' | 'refused') => void;
  /** First and longest rest of Kafka after a failure, where there is the relay. */
  readonly restMs?: readonly [first: number, longest: number];
}

export interface Ways extends Way {
  /** What the lease says of Kafka. */
  obey(access: KafkaAccess | null): void;
  /** Where batches go now. */
  current(): WayName;
  close(): Promise<void>;
}

/** Kafka that worked for so long rests only briefly after a failure. */
const steadyMs = 60_000;

/**
 * `auto` prefers Kafka and falls back to the relay. Kafka counts as ready once it acknowledged a batch; until then,
 * and after a failure from time to time, a batch that the relay carries is also offered to Kafka: nothing waits for
 * that try, and the hub knows the second copy.
 */
export function createWays(options: WaysOptions): Ways {
  const {
    delivery,
    relay,
    openKafka,
    log,
    onTried,
    restMs: [firstRestMs, longestRestMs] = [2000, 60_000],
  } = options;
  let access = '';
  let kafka: KafkaWay | null = null;
  let ready = false;
  let readySinceMs = 0;
  let trying = false;
  let restMs = firstRestMs;
  let tryAtMs = 0;

  async function sendBy(name: WayName, way: Way, batch: SealedBatch, signal: AbortSignal): Promise<void> {
    try {
      await way.send(batch, signal);
      onTried(name, 'taken');
    } catch (error) {
      onTried(name, error instanceof DeliveryError ? error.kind : 'away');
      throw error;
    }
  }

  function kafkaFailed(error: unknown): void {
    const nowMs = performance.now();
    if (ready && nowMs - readySinceMs > steadyMs) restMs = firstRestMs;
    if (ready) log.warn({ why: reasonOf(error) }, 'Kafka takes no batches: they go by the relay');
    ready = false;
    tryAtMs = nowMs + restMs * (0.5 + Math.random() / 2);
    restMs = Math.min(restMs * 2, longestRestMs);
  }

  async function tryKafka(way: KafkaWay, batch: SealedBatch, signal: AbortSignal): Promise<void> {
    trying = true;
    try {
      await sendBy('kafka', way, batch, signal);
      if (way !== kafka) return;
      ready = true;
      readySinceMs = performance.now();
      log.info('batches go by Kafka');
    } catch (error) {
      if (way !== kafka) return;
      log.debug({ why: reasonOf(error) }, 'Kafka is not ready');
      kafkaFailed(error);
    } finally {
      trying = false;
    }
  }

  return {
    async send(batch, signal) {
      if (delivery === 'relay') return sendBy('relay', relay, batch, signal);
      if (delivery === 'kafka') {
        if (!kafka)
          throw new DeliveryError('away', 'the hub names no Kafka: start the probe with --delivery auto');
        return sendBy('kafka', kafka, batch, signal);
      }
      if (kafka && ready) {
        const failed = await sendBy('kafka', kafka, batch, signal).then(
          () => null,
          (error: unknown) => ({ error }),
        );
        if (!failed) return;
        // One batch that Kafka finds too large says nothing about the next.
        if (!(failed.error instanceof DeliveryError && failed.error.kind === 'refused'))
          kafkaFailed(failed.error);
      } else if (kafka && !trying && performance.now() >= tryAtMs) {
        void tryKafka(kafka, batch, signal);
      }
      return sendBy('relay', relay, batch, signal);
    },
    obey(next) {
      const text = JSON.stringify(next);
      if (delivery === 'relay' || text === access) return;
      access = text;
      void kafka?.close();
      kafka = next && openKafka(next);
      ready = false;
      restMs = firstRestMs;
      tryAtMs = 0;
    },
    current: () => (delivery === 'kafka' || ready ? 'kafka' : 'relay'),
    close: async () => kafka?.close(),
  };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
