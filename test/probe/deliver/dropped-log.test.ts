import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDirectBus } from '../../../hub/ingest/direct-bus.ts';
import { insertProgress } from '../../../hub/store/seat-progress.ts';
import type { Outbox } from '../../../probe/deliver/outbox.ts';
import { kafkaForTests } from '../../harness/kafka.ts';
import { type KafkaScene, makeKafkaScene } from '../../hub/ingest/kafka-scene.ts';
import { quiet, resultOf, type TestProbe } from '../../hub/ingest/scene.ts';
import { until } from '../../hub/ingest/until.ts';
import { type HubScene, hubScene } from './hub-scene.ts';
import { newFolder } from './scene.ts';

const kafka = await kafkaForTests();

describe.skipIf(!kafka)('a log that loses what the hub had not read', () => {
  let scene: KafkaScene;
  let probe: TestProbe;
  let hub: HubScene;
  let folder: Awaited<ReturnType<typeof newFolder>>;
  let outbox: Outbox;
  beforeEach(async () => {
    scene = await makeKafkaScene(kafka?.address ?? '');
    probe = await scene.probe('eu-west');
    hub = await hubScene(scene, probe, createDirectBus({ log: quiet }));
    folder = await newFolder();
  });
  afterEach(async () => {
    await outbox.stop(AbortSignal.abort());
    await hub.close();
    await scene.end();
    await folder.remove();
  });

  test('its probes send all of it again, and nothing is lost', async () => {
    outbox = await hub.open(folder.path, { delivery: 'kafka', timing: { restMs: [100, 500] } });
    const brokers = [...scene.config.brokers];
    const access = { brokers, topic: scene.topic, auth: 'none', tls: false, ca: null } as const;
    const lease = () => hub.lease(outbox, access);
    await lease();
    const ends = () => scene.admin((admin) => admin.fetchTopicOffsets(scene.topic));
    const clusterId = (await scene.admin((admin) => admin.describeCluster())).clusterId;
    for (const { partition } of await ends()) {
      await insertProgress(scene.db, {
        clusterId,
        topic: scene.topic,
        partition,
        nextOffset: 0,
        topicId: null,
      });
    }
    const count = 40;
    for (let index = 1; index <= count; index += 1) {
      await outbox.add(resultOf(probe, scene.nowUs - index * 1000), true);
    }
    const sealed = () => outbox.status().streams[0]?.lastSeq ?? 0;
    // What was added last may still wait for its batch: urgent ones wait 100 ms.
    let still = 0;
    await until(async () => {
      const inLog = (await ends()).reduce((sum, { high }) => sum + Number(high), 0);
      const before = sealed();
      await wait(200);
      still = before > 0 && inLog === before && sealed() === before ? still + 1 : 0;
      return still >= 3;
    }, 30_000);
    await scene.admin(async (admin) => {
      const gone = await admin.fetchTopicOffsets(scene.topic);
      const partitions = gone.map(({ partition, high }) => ({ partition, offset: high }));
      await admin.deleteTopicRecords({ topic: scene.topic, partitions });
    });
    const bus = await scene.read();
    expect(bus.status().dropped).toBe(sealed());
    expect(await scene.count('results')).toBe(0);
    // DESIGN, "Contract: delivery": what is not durable for 30 s has been lost on the way.
    await until(async () => {
      await lease();
      return (await scene.count('results')) === count && (await hub.knowsAll(outbox));
    }, 90_000);
    expect(await scene.count('rejects')).toBe(0);
  }, 150_000);
});
