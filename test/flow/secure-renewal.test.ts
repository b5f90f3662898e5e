import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate, type KeyPair } from '../../hub/demo/certificates.ts';
import { kafkaJarsForTests } from '../harness/kafka.ts';
import { type SecureKafka, startSecureKafka } from '../harness/secure-kafka.ts';
import { type HubScene, startHubScene } from '../hub/hub-scene.ts';
import { until } from '../hub/ingest/until.ts';

const jars = await kafkaJarsForTests();
const dayMs = 86_400_000;

describe.skipIf(!jars)("a hub whose certificate Kafka's brokers refuse", () => {
  let kafka: SecureKafka;
  let hub: HubScene | undefined;
  let folder = '';
  beforeAll(async () => {
    if (!jars) return;
    folder = await mkdtemp(join(tmpdir(), 'parallax-renewal-'));
    kafka = await startSecureKafka(jars, { hub: 'http://127.0.0.1:1', env: 'renewal' });
  });
  afterAll(async () => {
    await hub?.stop();
    await kafka?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const keep = async ({ cert, key }: KeyPair) => {
    await writeFile(join(folder, 'hub.key'), key);
    await writeFile(join(folder, 'hub.crt'), cert);
  };

  test('starts, says what is wrong and what to do, and is ready once the files are renewed', async () => {
    await keep(
      await issueCertificate(kafka.authority, {
        commonName: 'parallax-hub',
        dns: [],
        ips: [],
        roles: ['client'],
        notBeforeMs: Date.now() - 3 * dayMs,
        notAfterMs: Date.now() - dayMs,
      }),
    );
    const files = { KAFKA_CERT: join(folder, 'hub.crt'), KAFKA_KEY: join(folder, 'hub.key') };
    const started = await startHubScene({ kafka: kafka.config('hub', files), env: 'renewal' });
    hub = started;
    const refused =
      /Kafka's broker refuses our certificate \(KAFKA_CERT, valid from \S+ to \S+\): it has expired/;
    expect(started.said.join('\n')).toMatch(refused);
    const ready = async () => {
      const answer = await started.ask('/readyz');
      return { status: answer.status, text: await answer.text() };
    };
    await until(async () => refused.test((await ready()).text), 30_000);
    expect((await ready()).status).toBe(503);
    // What does not need Kafka goes on.
    expect((await started.ask('/healthz')).status).toBe(200);
    const { broker } = kafka;
    await copyFile(broker.credentials.of.hub.key, files.KAFKA_KEY);
    await copyFile(broker.credentials.of.hub.cert, files.KAFKA_CERT);
    await until(async () => (await ready()).status === 200, 60_000);
    const logged = started.logged();
    expect(logged.some(({ msg }) => msg === 'the new certificates for Kafka are in use')).toBe(true);
    // Dialled many times, said once a minute.
    const said = logged.filter(({ level, msg }) => level === 'error' && refused.test(String(msg)));
    expect(said.length).toBeGreaterThanOrEqual(1);
    expect(said.length).toBeLessThanOrEqual(3);
    await started.stop();
    hub = undefined;
  });
});
