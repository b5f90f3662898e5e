import { setTimeout as wait } from 'node:timers/promises';
import { type KafkaLog, kafkaReason } from './kafka-client.ts';
import { KafkaRefusal } from './topics.ts';

export interface LogWatchOptions {
  readonly look: () => Promise<void>;
  readonly everyMs: number;
  readonly signal: AbortSignal;
  readonly log: Pick<KafkaLog, 'debug'>;
  /** The topic is gone, and was at the looks before. */
  readonly onRefusal: (refusal: KafkaRefusal) => void;
}

/** While brokers come up one may not know yet what the others do. */
const looksUntilGone = 3;

/**
 * Looks at the log from outside, again and again: a consumer reads by the topic's name, and sees neither that it is
 * another topic by now nor, while it stands still, how much comes to wait.
 */
export async function watchLog(options: LogWatchOptions): Promise<void> {
  const { look, everyMs, signal, log, onRefusal } = options;
  let gone = 0;
  while (!signal.aborted) {
    await wait(everyMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      await look();
      gone = 0;
    } catch (error) {
      gone = error instanceof KafkaRefusal ? gone + 1 : 0;
      log.debug({ error: kafkaReason(error) }, 'the log could not be looked at');
      if (error instanceof KafkaRefusal && gone >= looksUntilGone) onRefusal(error);
    }
  }
}
