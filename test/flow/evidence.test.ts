// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${probe:NAME} is what endpoints hold
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { crc32, zstdDecompressSync } from 'node:zlib';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NamedEvidence } from '../../hub/cli/evidence-view.ts';
import { type Database, openDatabase } from '../../hub/store/database.ts';
import { scanRecords } from '../../probe/spool/record.ts';
import { readSealed } from '../../probe/spool/sealed-record.ts';
import { kafkaForTests } from '../harness/kafka.ts';
import { type TestDatabase, testDatabase } from '../harness/postgres.ts';
import { until } from '../hub/ingest/until.ts';
import { type OwnNetwork, type OwnProcess, ownNetwork } from './own-network.ts';
import { witnessSpools } from './spool-witness.ts';
import { buildOnce } from './up-process.ts';

/** Each told apart, and by nothing else that could be there. */
const secrets = Object.fromEntries(
  ['header', 'named', 'bearer', 'password', 'body', 'probe', 'query'].map((name) => [
    name,
    `${name}-${randomBytes(9).toString('hex')}`,
  ]),
) as Record<string, string>;
/** Base64 of the pair, as Authorization has it. */
const pair = Buffer.from(`ada:${secrets.password}`).toString('base64');
const forms = [...Object.values(secrets), pair];

const kafka = await kafkaForTests();
const topic = 'evidence.parallax.results.v1';
let database: TestDatabase;
let db: Database;
let network: OwnNetwork;
let hub: OwnProcess;
let probe: OwnProcess;
let target: Server;
const traces = new Set<string>();
const told: string[] = [];

beforeAll(async () => {
  await buildOnce();
  database = await testDatabase();
  db = openDatabase({ url: database.url, maxConnections: 2 });
  network = await ownNetwork();
  process.env.LAB_SECRET = secrets.probe;
  // Says everything back, in its head and in its body, and fails.
  target = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const basic = /^Basic (.*)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const said = JSON.stringify({
      ...request.headers,
      basic: Buffer.from(basic, 'base64').toString(),
      url: request.url,
      body: Buffer.concat(chunks).toString(),
    });
    told.push(said);
    traces.add(String(request.headers.traceparent ?? '').slice(3, 35));
    if (request.url?.startsWith('/reset')) return request.socket.resetAndDestroy();
    response.writeHead(500, { 'x-echo': encodeURIComponent(said), 'set-cookie': `sid=${secrets.header}` });
    response.end(said);
  }).listen(0, '127.0.0.1');
  await once(target, 'listening');
});
afterAll(async () => {
  delete process.env.LAB_SECRET;
  await network.end();
  target.close();
  await db.end();
  await database.drop();
});

test('what was seen of a failure comes to the operator, and no secret of the endpoint stands in it or anywhere', async () => {
  const { port } = target.address() as AddressInfo;
  const env = {
    DATABASE_URL: database.url,
    LOG_LEVEL: 'debug',
    ...(kafka && { KAFKA_BROKERS: kafka.address, PARALLAX_ENV: 'evidence' }),
  };
  hub = await network.startHub(env);
  const base = { interval: '1s', timeout: '500ms', evidence: { body: true, trace: true } };
  const at = (path: string) => `http://127.0.0.1:${port}${path}?q=${secrets.query}`;
  await network.apply([
    {
      ...base,
      name: 'headers',
      url: at('/headers'),
      request: {
        headers: {
          'X-Api-Key': secrets.header,
          Accept: secrets.named,
          'X-From-Probe': 'Key ${probe:LAB_SECRET}',
        },
        bearer: secrets.bearer,
      },
      secrets: ['request.headers.accept'],
    },
    {
      ...base,
      name: 'pair',
      url: at('/pair'),
      request: {
        method: 'POST',
        basicAuth: { username: 'ada', password: secrets.password },
        body: JSON.stringify({ password: secrets.body }),
      },
    },
    { ...base, name: 'reset', url: at('/reset'), request: { bearer: '${probe:LAB_SECRET}' } },
    { ...base, name: 'nobody', url: at('/').replace(String(port), '1') },
  ]);
  const witness = await witnessSpools([network.spool('lab')], join(network.folder, 'witness'));
  probe = await network.startProbe('lab', 'lab', ['127.0.0.0/8']);
  await until(
    async () => (await db.one<{ n: number }>('select count(*)::int4 as n from evidence')).n >= 4,
    60_000,
  );
  await witness.stop();

  const byName = new Map<string, NamedEvidence>();
  for (const name of ['headers', 'pair', 'reset', 'nobody']) {
    const { code, stdout } = await network.cli(['results', name, '--evidence', '--json']);
    expect(code).toBe(0);
    // The first failure alone: it did not change.
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(1);
    byName.set(name, JSON.parse(lines[0] ?? '') as NamedEvidence);
  }
  const seen = (name: string) => byName.get(name)?.evidence;
  expect(seen('headers')).toMatchObject({ phase: 'transfer', response: { status: 500 } });
  expect(seen('headers')?.request?.headers).toContainEqual(['X-Api-Key', '•••']);
  expect(seen('headers')?.response?.body).toContain('•••');
  expect(seen('pair')).toMatchObject({ request: { method: 'POST', bodyBytes: expect.any(Number) } });
  expect(seen('reset')).toMatchObject({ errno: 'ECONNRESET', phase: 'wait', response: null });
  expect(seen('nobody')).toMatchObject({ errno: 'ECONNREFUSED', phase: 'connect', request: null });
  for (const name of ['headers', 'pair', 'reset']) {
    expect(traces).toContain(seen(name)?.traceId);
    expect(byName.get(name)?.result?.facts).toMatchObject({ traceId: seen(name)?.traceId });
  }

  // It was really sent, or nothing would be proven.
  for (const form of forms)
    expect(
      told.some((said) => said.includes(form)),
      form,
    ).toBe(true);
  const places: Record<string, string> = {
    spool: await spoolText(join(network.folder, 'witness')),
    kafka: await kafkaText(),
    hub: hub.said(),
    probe: probe.said(),
    // The address with its query is the endpoint's own, and shown to who may read it.
    database: (await databaseText()).replaceAll(/\?q=query-[0-9a-f]+/g, ''),
    evidence: await databaseText('evidence'),
    results: await databaseText('results'),
    api: await apiText(),
  };
  expect(places.spool).toContain('X-Api-Key');
  if (kafka) expect(places.kafka).toContain('X-Api-Key');
  expect(places.evidence).toContain('X-Api-Key');
  for (const [place, text] of Object.entries(places)) {
    expect([place, forms.filter((form) => text.includes(form))]).toEqual([place, []]);
  }
});

/** All that was ever in these files, what is compressed in them in clear as well. */
async function spoolText(folder: string): Promise<string> {
  let text = '';
  for (const file of await readdir(folder)) {
    const bytes = await readFile(join(folder, file));
    text += bytes.toString('latin1');
    const [, stream = '', kind = '', number = ''] = /^\d+-([0-9a-f]+)-(\w+)-(\d+)$/.exec(file) ?? [];
    if (kind !== 'sealed') continue;
    for (const record of scanRecords(bytes, crc32(`${stream}/${kind}-${Number(number)}`)).records) {
      const sealed = readSealed(record, stream);
      if (sealed) text += zstdDecompressSync(sealed.batch.value).toString('latin1');
    }
  }
  return text;
}

async function kafkaText(): Promise<string> {
  if (!kafka) return '';
  const client = new Kafka({ brokers: [kafka.address], logLevel: logLevel.NOTHING });
  const admin = client.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  let left = ends.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0);
  expect(left).toBeGreaterThan(0);
  let text = '';
  const consumer = client.consumer({ groupId: 'reads-all' });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    async eachMessage({ message }) {
      text +=
        JSON.stringify(message.headers) +
        zstdDecompressSync(message.value ?? Buffer.alloc(0)).toString('latin1');
      left -= 1;
    },
  });
  await until(() => left <= 0, 60_000);
  await consumer.disconnect();
  return text;
}

async function databaseText(only?: string): Promise<string> {
  const tables = await db.many<{ name: string }>(
    `select relname as name from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace`,
  );
  let text = '';
  for (const { name } of tables.filter((table) => only === undefined || table.name === only)) {
    const rows = await db.many<{ row: string }>(`select t::text as row from ${name} t`);
    text += rows.map(({ row }) => row).join('\n');
  }
  expect(text).not.toBe('');
  return text;
}

async function apiText(): Promise<string> {
  const asked = [
    ['results', 'headers', '--evidence'],
    ['results', 'pair', '--evidence'],
    ['results', 'pair', '--json'],
    ['results', 'reset', '--evidence'],
    ['endpoints', 'export'],
    ['audit', '--json'],
  ];
  let text = '';
  for (const args of asked) {
    const { stdout, stderr } = await network.cli(args);
    text += stdout + stderr;
  }
  return text.replaceAll(/\?q=query-[0-9a-f]+/g, '');
}
