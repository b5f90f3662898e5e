import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../hub/process/port.ts';
import { kafkaForTests } from '../harness/kafka.ts';
import { until } from '../hub/ingest/until.ts';
import {
  buildOnce,
  cli,
  environmentOf,
  forgetData,
  jsonLines,
  startUp,
  type UpProcess,
} from './up-process.ts';

interface ShownResult {
  readonly region: string;
  readonly outcome: string;
  readonly scheduledAt: number;
}

const regions = ['ap-south', 'eu-west', 'us-east'];
const demo = [
  'demo-broken',
  'demo-certificate-ends-soon',
  'demo-flapping',
  'demo-healthy',
  'demo-slow',
  'demo-tls',
];
const running: UpProcess[] = [];
const folders: string[] = [];

beforeAll(buildOnce);
afterAll(async () => {
  for (const up of running) await up.end();
  for (const folder of folders) {
    await forgetData(folder);
    await rm(folder, { recursive: true, force: true });
  }
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-up-'));
  folders.push(folder);
  return folder;
}

function start(...given: Parameters<typeof startUp>): UpProcess {
  const up = startUp(...given);
  running.push(up);
  return up;
}

async function resultsOf(data: string, endpoint: string): Promise<ShownResult[]> {
  return jsonLines<ShownResult>(await cli(['results', endpoint, '--json'], { PARALLAX_DATA: data }));
}

async function untilSeenFromEverywhere(data: string, endpoints: readonly string[]): Promise<void> {
  for (const endpoint of endpoints) {
    const seenFrom = async () => [...new Set((await resultsOf(data, endpoint)).map((each) => each.region))];
    await until(async () => (await seenFrom()).length === 3, 20_000).catch(() => undefined);
    expect([endpoint, (await seenFrom()).sort()]).toEqual([endpoint, regions]);
  }
}

async function select<Row extends object>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const parts = ['postgres', 'hub', 'demo', ...regions.map((region) => `probe ${region}`)];

describe('parallax up', () => {
  test('shows every demo endpoint from three regions, stops without a trace, and goes on with the same data', async () => {
    const data = await newFolder();
    const port = await freePort();
    const args = ['--listen', `127.0.0.1:${port}`];
    const first = start(data, args);
    const [, origin, secret] = await first.says(/sign in\s+(http:\S+)\/sign-in#(\S+)/);
    await untilSeenFromEverywhere(data, demo);
    expect((await resultsOf(data, 'demo-healthy'))[0]?.outcome).toBe('up');
    expect((await resultsOf(data, 'demo-broken'))[0]?.outcome).toBe('down');
    expect((await resultsOf(data, 'demo-certificate-ends-soon'))[0]?.outcome).toBe('degraded');

    const redeem = () =>
      fetch(`${origin}/session`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          origin: String(origin),
          'sec-fetch-site': 'same-origin',
        },
        body: JSON.stringify({ secret }),
      });
    const session = await redeem();
    expect(session.status).toBeLessThan(300);
    const cookie = session.headers.get('set-cookie')?.split(';')[0] ?? '';
    const page = await fetch(`${origin}/`, { headers: { cookie } });
    expect(await page.text()).toContain('demo-healthy');
    expect((await redeem()).status).toBeGreaterThanOrEqual(400);

    const probesBefore = jsonLines<{ id: number }>(
      await cli(['probes', 'list', '--json'], { PARALLAX_DATA: data }),
    );
    const pids = parts.filter((part) => part !== 'demo').map((part) => first.pidOf(part));
    expect(await first.ctrlC()).toBe(0);
    expect(pids.filter(lives)).toEqual([]);
    expect(await cli(['results', 'demo-healthy'], { PARALLAX_DATA: data })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('cannot reach the hub'),
    });

    // On another port: the hub then has another public URL, and the probes follow.
    const second = start(data, ['--listen', `127.0.0.1:${await freePort()}`]);
    await second.says(/dashboard\s+http/);
    const since = Date.now() * 1000;
    await until(async () => ((await resultsOf(data, 'demo-healthy'))[0]?.scheduledAt ?? 0) > since, 20_000);
    const probesAfter = jsonLines<{ id: number }>(
      await cli(['probes', 'list', '--json'], { PARALLAX_DATA: data }),
    );
    expect(probesAfter.map(({ id }) => id)).toEqual(probesBefore.map(({ id }) => id));
    expect(await second.ctrlC()).toBe(0);
  });

  test('bad circumstances end in one line that says what to do', async () => {
    const data = await newFolder();
    const port = await freePort();
    const taken = start(data, ['--listen', `127.0.0.1:${port}`]);
    await taken.says(/dashboard\s+http/);
    const other = await newFolder();
    await writeFile(
      join(other, 'bad.yaml'),
      'endpoints:\n  - {name: a, url: "https://a.example/", intervall: 5s}\n',
    );
    const cases: [args: string[], env: Record<string, string>, code: number, line: RegExp][] = [
      [['--data', data, '--listen', `127.0.0.1:${port + 1}`], {}, 1, /already runs here \(process \d+\)/],
      [
        ['--data', other, '--listen', `127.0.0.1:${port}`],
        {},
        1,
        /port \d+ on 127.0.0.1 is in use: .* --listen/,
      ],
      [
        ['--data', other, '--endpoints', '/nowhere.yaml'],
        {},
        1,
        /--endpoints \/nowhere.yaml: there is no such file/,
      ],
      [['--data', other, '--listen', 'here'], {}, 2, /--listen here: write it as/],
      [['--data', '/proc/parallax'], {}, 1, /cannot write to \/proc\/parallax|ENOENT/],
      [['--data', other, '--nonsense'], {}, 2, /unknown option '--nonsense'/],
      [
        ['--data', other, '--allow-network', 'foo'],
        {},
        2,
        /--allow-network 'foo' is not a network: write it as 10\.0\.0\.0\/8/,
      ],
      [
        ['--data', other, '--listen', '127.0.0.1:0'],
        { DATABASE_URL: 'postgresql://nobody:wrong@127.0.0.1:1/none' },
        1,
        /DATABASE_URL: connect ECONNREFUSED/,
      ],
      [
        ['--data', other, '--listen', '127.0.0.1:0'],
        { DATABASE_URL: `postgresql://x@127.0.0.1:${port}/x` },
        1,
        /DATABASE_URL: what answers at 127.0.0.1:\d+ hung up: it is not PostgreSQL/,
      ],
      [
        ['--data', other, '--listen', '127.0.0.1:0'],
        { DATABASE_URL: 'mysql://x' },
        1,
        /DATABASE_URL: is not an address like postgresql/,
      ],
      [['--data', join(other, 'bad.yaml')], {}, 1, /bad.yaml cannot be a folder, because a file is there/],
      [['--data', other, '--listen', '203.0.113.1:7070'], {}, 1, /this machine has no such address/],
      [['--data', other, '--endpoints', join(other, 'bad.yaml')], {}, 1, /bad.yaml:2:\d+: .*intervall/],
      [['--data', other, '--endpoints', other], {}, 1, /is a folder, not an endpoint file/],
    ];
    for (const [args, env, code, line] of cases) {
      const answer = await cli(['up', ...args], { DATABASE_URL: '', KAFKA_BROKERS: '', ...env });
      const said = answer.stderr
        .trim()
        .split('\n')
        .filter((each) => !each.startsWith('('));
      expect([args, answer.code]).toEqual([args, code]);
      expect(said.at(-1)).toMatch(line);
      expect(said.filter((each) => each.startsWith('parallax: '))).toHaveLength(1);
      expect(answer.stderr).not.toMatch(/\n\s+at /);
      // Nothing was begun for an answer that could be given at once.
      expect(answer.stdout).not.toMatch(/ready/);
    }
    await taken.ctrlC();
  }, 240_000);
});

describe('npm start', () => {
  test('ends whole where only npm is told to', async () => {
    const data = await newFolder();
    const up = startUp(data, ['--listen', `127.0.0.1:${await freePort()}`], {}, 'npm');
    running.push(up);
    await up.says(/dashboard\s+http/);
    const pids = parts.filter((part) => part !== 'demo').map((part) => up.pidOf(part));
    up.child.kill('SIGTERM');
    await until(() => pids.filter(lives).length === 0, 15_000);
  });
});

const kafka = await kafkaForTests();

describe.skipIf(!kafka)('parallax up with Kafka', () => {
  test('shows the same picture, and every row went through the log', async () => {
    const data = await newFolder();
    const env = { KAFKA_BROKERS: kafka?.address ?? '' };
    const up = start(data, ['--listen', `127.0.0.1:${await freePort()}`], env);
    await up.says(/results through Kafka at/);
    await up.says(/dashboard\s+http/);
    await untilSeenFromEverywhere(data, demo);
    const url = await environmentOf(up.pidOf('hub'), 'DATABASE_URL');
    // Each batch of a stream is one message: what is stored is exactly what was read from the log.
    const [row] = await select<{ read: number; received: number; results: number }>(
      url,
      `select (select sum(next_offset) from kafka_progress)::int as read,
              (select sum(up_to) from streams)::int as received,
              (select count(*) from results)::int as results`,
    );
    expect(row?.results).toBeGreaterThan(3 * demo.length);
    expect(row?.read).toBeGreaterThanOrEqual(row?.received ?? Number.NaN);
    expect(row?.received).toBeGreaterThan(0);
    expect(await up.ctrlC()).toBe(0);
  });
});
