import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type LoadTarget, startLoadTarget } from '../../hub/demo/load-target.ts';
import { freePort } from '../../hub/process/port.ts';
import { root } from '../harness/imports.ts';
import { kafkaJarsForTests } from '../harness/kafka.ts';
import { type Runtime, runtimesForTests } from '../harness/runtimes.ts';
import { type SecureKafka, startSecureKafka } from '../harness/secure-kafka.ts';
import { type HubScene, startHubScene } from '../hub/hub-scene.ts';
import { until } from '../hub/ingest/until.ts';
import { buildOnce } from './up-process.ts';

const folder = await mkdtemp(join(tmpdir(), 'parallax-runtimes-'));
const bundle = join(root, 'dist');
const frontDoor = join(bundle, 'parallax.js');
const jars = await kafkaJarsForTests();
const runtimes = await runtimesForTests(folder, root);
const env = 'runtimes';
const endpoints = 10;

let kafka: SecureKafka;
let hub: HubScene;
let target: LoadTarget;
let admin = '';
const children: ChildProcess[] = [];

async function api<Answer>(path: string, body: unknown): Promise<Answer> {
  const answer = await hub.ask(path, {
    method: 'POST',
    token: admin,
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  expect(answer.status).toBe(201);
  return (await answer.json()) as Answer;
}

beforeAll(async () => {
  if (!jars || !runtimes) return;
  await buildOnce();
  const port = await freePort();
  kafka = await startSecureKafka(jars, { hub: `http://127.0.0.1:${port}`, env });
  hub = await startHubScene({ kafka: kafka.config('hub'), env }, { port });
  admin = await hub.token(['admin']);
  target = await startLoadTarget({
    host: '127.0.0.1',
    port: 0,
    tls: false,
    bodyBytes: 100,
    delayMs: 0,
    failing: 0,
    random: Math.random,
  });
  for (let index = 0; index < endpoints; index += 1) {
    await api('/api/v1/endpoints', { name: `load-${index}`, url: `${target.url}${index}`, interval: '1s' });
  }
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'close');
  }
});
afterAll(async () => {
  await target?.close();
  await hub?.stop();
  await kafka?.stop();
  await rm(folder, { recursive: true, force: true });
});

function start({ command: [file, ...before] }: Runtime, args: readonly string[]) {
  const child = spawn(file, [...before, frontDoor, 'probe', ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOME: folder, DENO_DIR: join(folder, 'deno'), NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
  }
  const closed = once(child, 'close');
  return { child, text: () => text, closed };
}

/** What is stored of a region, and what went wrong with it. */
async function stored(region: string) {
  return hub.db.one<{ rows: number; bad: number; rejects: number; gaps: number; runtime: string | null }>(
    `select count(*)::int4 as rows, count(*) filter (where outcome <> 0 and failure_code not like 'probe.%')::int4 as bad,
       (select count(*)::int4 from rejects) as rejects, (select coalesce(sum(results), 0)::int4 from gaps) as gaps,
       (select max(s.runtime) from probes p join probe_presence s on s.probe_id = p.id where p.region_id = g.id) as runtime
     from regions g left join results r on r.region_id = g.id where g.name = $1::text group by g.id`,
    [region],
  );
}

describe.skipIf(!jars || !runtimes)('the one bundle', () => {
  test.each(runtimes ?? [])(
    'on $name: delivers through Kafka with its tokens, is killed, repairs its spool, goes on and drains',
    async (runtime) => {
      const region = runtime.name.toLowerCase().replace(/[^a-z0-9]+/g, '-');
      const data = join(folder, region);
      const { token } = await api<{ token: string }>('/api/v1/enrollments', { region });
      const tokenFile = join(folder, `${region}.token`);
      await writeFile(tokenFile, token);
      const args = ['--data', data, '--allow-network', '127.0.0.0/8', '--delivery', 'kafka'];
      const first = start(runtime, ['--token-file', tokenFile, ...args]);
      await until(async () => (await stored(region)).rows >= 20, 60_000).catch(() => {
        throw new Error(`nothing came of it:\n${first.text()}`);
      });
      first.child.kill('SIGKILL');
      await first.closed;
      // As a disk leaves it that lost its power in the middle of a write.
      const spool = join(data, 'spool');
      for (const stream of await readdir(spool)) {
        for (const file of await readdir(join(spool, stream))) {
          if (/^(journal|sealed)-/.test(file))
            await appendFile(join(spool, stream, file), Buffer.alloc(100, 0x5a));
        }
      }
      const before = (await stored(region)).rows;
      const second = start(runtime, args);
      await until(async () => (await stored(region)).rows >= before + 20, 60_000).catch(() => {
        throw new Error(`it did not go on:\n${second.text()}`);
      });
      second.child.kill('SIGTERM');
      expect(await second.closed).toEqual([0, null]);
      const seen = await stored(region);
      expect(seen).toMatchObject({ bad: 0, rejects: 0, runtime: expect.stringMatching(runtime.told) });
      expect(second.text()).not.toMatch(/unhandled|is not a function|not implemented/i);
      // What a runtime lacks is said at the start, and only by one that does.
      expect(/this runtime lacks/.test(second.text())).toBe(runtime.name.startsWith('Deno'));
    },
  );
});
