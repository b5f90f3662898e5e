import { Kafka, logLevel } from 'kafkajs';
import { describe, expect, test } from 'vitest';
import { kafkaForTests } from './kafka.ts';

const kafka = await kafkaForTests();

describe.skipIf(!kafka)('the test broker', () => {
  test('keeps topics and messages over kill -9, and makes no topic by itself', async () => {
    if (!kafka) return;
    const client = new Kafka({ brokers: [kafka.address], logLevel: logLevel.NOTHING });
    const admin = client.admin();
    const producer = client.producer();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: 'kept', numPartitions: 1 }] });
    await producer.connect();
    await producer.send({ topic: 'kept', messages: [{ value: 'x' }] });
    await producer.disconnect();
    await admin.disconnect();

    process.kill(kafka.pid(), 'SIGKILL');
    await kafka.exited();
    await kafka.restart();

    await admin.connect();
    expect(await admin.listTopics()).toEqual(['kept']);
    expect(await admin.fetchTopicOffsets('kept')).toMatchObject([{ offset: '1' }]);
    const unknown = client.producer({ allowAutoTopicCreation: true, retry: { retries: 0 } });
    await unknown.connect();
    await expect(unknown.send({ topic: 'unknown', messages: [{ value: 'x' }] })).rejects.toThrow();
    await unknown.disconnect();
    await admin.disconnect();
  });
});
