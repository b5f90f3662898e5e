import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { boundDecoding } from '../../../hub/ingest/kafka-decode.ts';

/** The client's own, as it reads what a fetch brought. */
const inside = createRequire(import.meta.resolve('kafkajs'));
const Decoder = inside('./src/protocol/decoder.js');
const Encoder = inside('./src/protocol/encoder.js');
const decodeMessages = inside('./src/protocol/requests/fetch/v4/decodeMessages.js');
const { RecordBatch } = inside('./src/protocol/recordBatch/v0/index.js');
const Record = inside('./src/protocol/recordBatch/record/v0/index.js');

interface Read {
  readonly offset: string;
  readonly value: Buffer | null;
  readonly headers: object;
}

async function read(...batches: { count: number; headers?: object }[]): Promise<Read[]> {
  const encoded = await Promise.all(
    batches.map(async ({ count, headers = {} }) => {
      const record = (_: unknown, offsetDelta: number) =>
        Record({ key: null, value: Buffer.from('x'), headers, offsetDelta, timestampDelta: 0 });
      return RecordBatch({
        compression: 0,
        firstTimestamp: 1000,
        maxTimestamp: 1000,
        producerId: -1,
        producerEpoch: 0,
        firstSequence: 0,
        transactional: false,
        lastOffsetDelta: count - 1,
        records: Array.from({ length: count }, record),
      });
    }),
  );
  const all = Buffer.concat(encoded.map(({ buffer }) => buffer));
  return decodeMessages(new Decoder(new Encoder().writeBytes(all).buffer));
}

boundDecoding();

test('honest messages are read as they are', async () => {
  const headers = { kid: 'k', sig: Buffer.alloc(64), schema: '2' };
  const messages = await read({ count: 3, headers }, { count: 10_000 });
  expect(messages).toHaveLength(10_003);
  expect(messages[2]).toMatchObject({ offset: '2', value: Buffer.from('x') });
  expect(Object.keys(messages[2]?.headers ?? {})).toEqual(['kid', 'sig', 'schema']);
});

test('of more messages in one record batch than fit on the stack, two are read, and what follows', async () => {
  const messages = await read({ count: 131_000 }, { count: 2 });
  expect(messages.map(({ offset, value }) => [offset, value])).toEqual([
    ['0', null],
    ['130999', null],
    ['0', Buffer.from('x')],
    ['1', Buffer.from('x')],
  ]);
});
