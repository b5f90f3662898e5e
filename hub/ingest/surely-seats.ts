import { setTimeout as wait } from 'node:timers/promises';
import type { Seating } from './kafka-seats.ts';
import { KafkaRefusal } from './topics.ts';

const everyMs = 500;

/**
 * Seats, or a refusal that is no passing one: a partition's new leader may not know for a moment how far its log is
 * readable, and tells of an end before the one that was there (KIP-207; kafkajs asks in a version that cannot say so).
 */
export async function surelySeats(
  read: () => Promise<Seating>,
  patienceMs: number,
  signal: AbortSignal,
): Promise<Seating> {
  const untilMs = performance.now() + patienceMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await read();
    } catch (error) {
      const mayPass = error instanceof KafkaRefusal && error.code === 'kafka.past_end';
      if (!mayPass || performance.now() >= untilMs) throw error;
      await wait(everyMs, undefined, { signal });
    }
  }
}
