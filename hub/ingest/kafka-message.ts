import type { KafkaMessage } from 'kafkajs';
import { kafkaHeaders } from '../../shared/relay.ts';
import type { IncomingBatch, LogPosition } from './bus.ts';

/** A message as it stands in the log; what it lacks is empty and refused by verification. */
export function batchFromMessage(
  message: KafkaMessage,
  at: Pick<LogPosition, 'clusterId' | 'topic' | 'partition'>,
): IncomingBatch {
  return {
    key: message.key?.toString('utf8').slice(0, 64) ?? null,
    value: message.value ?? Buffer.alloc(0),
    headers: {
      kid: headerOf(message, kafkaHeaders.kid).toString('utf8').slice(0, 64),
      sig: headerOf(message, kafkaHeaders.signature).subarray(0, 64),
      schema: headerOf(message, kafkaHeaders.schema).toString('utf8').slice(0, 20),
    },
    position: { ...at, offset: Number(message.offset), appendedAt: Number(message.timestamp) },
  };
}

function headerOf({ headers }: KafkaMessage, name: string): Buffer {
  const value = headers?.[name];
  const first = Array.isArray(value) ? value[0] : value;
  return Buffer.isBuffer(first) ? first : Buffer.from(first ?? '');
}
