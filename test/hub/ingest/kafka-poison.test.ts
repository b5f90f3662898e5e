import { gzipSync, zstdCompressSync } from 'node:zlib';
import kafkajs, { type Message } from 'kafkajs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kafkaClient } from '../../../hub/ingest/kafka-client.ts';
import { kafkaForTests } from '../../harness/kafka.ts';
import { type KafkaScene, makeKafkaScene } from './kafka-scene.ts';
import { quiet } from './scene.ts';
import { until } from './until.ts';

const { CompressionCodecs, CompressionTypes } = kafkajs;
const kafka = await kafkaForTests();

/** What each codec packs, by hand where Node has none. */
const packs: Readonly<Record<string, { type: number; pack: (bytes: Buffer) => Buffer }>> = {
  gzip: { type: CompressionTypes.GZIP, pack: (bytes) => gzipSync(bytes) },
  zstd: { type: CompressionTypes.ZSTD, pack: (bytes) => zstdCompressSync(bytes) },
  snappy: { type: CompressionTypes.Snappy, pack: snappy },
};

/** One literal, in the frame of snappy-java. */
function snappy(bytes: Buffer): Buffer {
  const size = bytes.length;
  const varint = [(size & 0x7f) | 0x80, ((size >> 7) & 0x7f) | 0x80, size >> 14];
  const block = Buffer.concat([Buffer.from([...varint, 61 << 2, (size - 1) & 0xff, (size - 1) >> 8]), bytes]);
  const head = Buffer.from('82534e4150505900000000010000000100000000', 'hex');
  head.writeInt32BE(block.length, 16);
  return Buffer.concat([head, block]);
}

describe.skipIf(!kafka)('what whoever may write to the topic can put there', () => {
  let scene: KafkaScene;
  beforeEach(async () => {
    scene = await makeKafkaScene(kafka?.address ?? '');
  });
  afterEach(() => scene.end());

  /** The same onto each partition, packed as its sender likes. */
  async function send(message: Message, codec?: string, count = 1): Promise<void> {
    const client = kafkaClient(scene.config, quiet);
    const { type = CompressionTypes.None, pack } = packs[codec ?? ''] ?? {};
    const before = CompressionCodecs[type as 1];
    if (pack) {
      CompressionCodecs[type as 1] = () => ({
        compress: async ({ buffer }: { buffer: Buffer }) => pack(buffer),
        decompress: (buffer: Buffer) => before?.().decompress(buffer),
      });
    }
    const producer = client.producer({ retry: { retries: 1 } });
    try {
      await producer.connect();
      for (const partition of [0, 1, 2]) {
        await producer.send({
          topic: scene.topic,
          acks: -1,
          compression: type,
          messages: Array.from({ length: count }, () => ({ ...message, partition })),
        });
      }
    } finally {
      if (before) CompressionCodecs[type as 1] = before;
      await producer.disconnect();
    }
  }

  async function allElseIsStored(each = 1, refused = each): Promise<void> {
    const bus = await scene.read();
    await scene.publish(bus, 9);
    await scene.stored(20_000);
    await until(async () => (await scene.count('rejects')) === 3 * refused, 20_000);
    expect(await scene.db.many('select distinct reason, length(content) as size from rejects')).toEqual([
      { reason: 'headers', size: 0 },
    ]);
    expect(await scene.passed()).toBe(scene.published() + 3 * each);
  }

  test('a message with thousands of headers is refused, and costs no time', async () => {
    const headers = Object.fromEntries(Array.from({ length: 6000 }, (_, n) => [`h${n}`, '']));
    await send({ value: null, headers });
    const beganMs = performance.now();
    await allElseIsStored();
    expect(performance.now() - beganMs).toBeLessThan(20_000);
  }, 120_000);

  test.each(['gzip', 'zstd', 'snappy'])(
    'what is packed by %s is not unpacked, and refused',
    async (codec) => {
      await send({ value: Buffer.alloc(10_000, 'x') }, codec);
      await allElseIsStored();
    },
    120_000,
  );

  test('of many that are packed together the first and the last are refused, and reading goes on after them', async () => {
    await send({ value: Buffer.alloc(10, 'x') }, 'zstd', 1000);
    await allElseIsStored(1000, 2);
    // Once more while it is read.
    await send({ value: Buffer.alloc(10, 'x') }, 'gzip', 50);
    await until(async () => (await scene.count('rejects')) === 12, 20_000);
  }, 120_000);

  test('a transaction that its sender never ends holds nobody up', async () => {
    const producer = kafkaClient(scene.config, quiet).producer({
      transactionalId: scene.topic,
      idempotent: true,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    try {
      const open = await producer.transaction();
      for (const partition of [0, 1, 2]) {
        await open.send({ topic: scene.topic, messages: [{ value: null, partition }] });
      }
      await allElseIsStored();
      await open.abort();
    } finally {
      await producer.disconnect();
    }
  }, 120_000);

  test('nor is what is small there and fills all memory', async () => {
    await send({ value: Buffer.alloc(200 * 1024 * 1024) }, 'gzip');
    const before = process.memoryUsage().rss;
    await allElseIsStored();
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
  }, 120_000);
});
