import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type Batch, decodeBatch } from '../../shared/batch.ts';
import { relayHeaders, relayPath } from '../../shared/relay.ts';
import { type FakeHub, startFakeHub } from './fake-hub.ts';
import { assign, endpoint, startTarget, tempFolder } from './start-probe.ts';

let hub: FakeHub;
let target: Awaited<ReturnType<typeof startTarget>>;
let folder = '';
let dataDir = '';
/** What the hub got by relay. */
let batches: Batch[] = [];

beforeEach(async () => {
  hub = await startFakeHub();
  target = await startTarget();
  const temp = await tempFolder();
  folder = temp.path;
  dataDir = join(folder, 'data');
  batches = [];
  hub.intercept = (request, response, body) => {
    if (request.url !== relayPath) return false;
    batches.push(decodeBatch(body, String(request.headers[relayHeaders.schema.toLowerCase()])));
    response.writeHead(204).end();
    return true;
  };
  onTestFinished(async () => {
    await hub.close().catch(() => undefined);
    await target.close();
    await temp.remove();
  });
});

interface Child {
  readonly process: ChildProcess;
  text(): string;
  said(what: string, withinMs?: number): Promise<void>;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
}

function start(args: readonly string[], env: Record<string, string> = {}): Child {
  const script = join(import.meta.dirname, 'probe-child.ts');
  const child = spawn(process.execPath, [script, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', ...env },
  });
  let text = '';
  const watchers = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      for (const look of [...watchers]) look();
    });
  }
  const ended = once(child, 'close').then(([code, signal]) => (code as number | null) ?? String(signal));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    process: child,
    text: () => text,
    ended,
    said: (what, withinMs = 20_000) =>
      new Promise((done, fail) => {
        const timer = setTimeout(() => fail(new Error(`it did not say '${what}':\n${text}`)), withinMs);
        const look = () => {
          if (!text.includes(what)) return;
          clearTimeout(timer);
          watchers.delete(look);
          done();
        };
        watchers.add(look);
        look();
      }),
  };
}

async function tokenFile(): Promise<string> {
  const file = join(folder, 'token');
  await writeFile(file, `${await hub.token()}\n`);
  return file;
}

async function checking(...more: readonly string[]): Promise<Child> {
  assign(hub, endpoint(1, `${target.url}/1`), endpoint(2, `${target.url}/2`));
  const child = start([
    '--token-file',
    await tokenFile(),
    '--data',
    dataDir,
    '--allow-network',
    '127.0.0.0/8',
    ...more,
  ]);
  await child.said('new assignments in force');
  return child;
}

const results = () => batches.flatMap((batch) => batch.results);

describe('a probe in a process of its own', () => {
  test('checks, delivers by relay, and stops on SIGTERM with nothing left behind', async () => {
    const child = await checking('--log-level', 'debug');
    await hub.until(() => results().length >= 4, 20_000);
    child.process.kill('SIGTERM');
    expect(await child.ended).toBe(0);
    expect(await readdir(dataDir)).not.toContain('lock');
    const all = results().map((one) => `${one.endpointId}@${one.scheduledAt}`);
    expect(new Set(all).size).toBe(all.length);
    expect(results()).toMatchObject(results().map(() => ({ probeId: 100, regionId: 7 })));
    // A busy machine oversleeps slots, and one that is made up for may still run when the next comes; what ran was up.
    const notRun = ['probe.paused', 'probe.overrun'];
    const ran = results().filter(({ failure }) => !notRun.includes(failure?.code ?? ''));
    expect(ran.length).toBeGreaterThan(0);
    expect(ran).toMatchObject(ran.map(() => ({ outcome: 'up' })));
    // Each check that reached the target is in a batch: nothing was in hand when it ended.
    expect(ran.length).toBe([...target.hits.values()].flat().length);
  });

  test('killed and started again goes on without a token, and repeats no slot', async () => {
    const child = await checking();
    await hub.until(() => results().length >= 2, 20_000);
    child.process.kill('SIGKILL');
    expect(await child.ended).toBe('SIGKILL');
    expect(await readdir(dataDir)).toContain('lock');
    const before = results().length;
    const again = start(['--data', dataDir, '--allow-network', '127.0.0.0/8']);
    await again.said('going on under the lease kept here');
    await hub.until(() => results().length >= before + 4, 20_000);
    again.process.kill('SIGTERM');
    expect(await again.ended).toBe(0);
    const bySeq = new Map(batches.map((batch) => [`${batch.stream}/${batch.seq}`, batch]));
    const slots = [...bySeq.values()]
      .flatMap((batch) => batch.results)
      .map((one) => `${one.endpointId}@${one.scheduledAt}`);
    expect(new Set(slots).size).toBe(slots.length);
    expect(hub.probes.size).toBe(1);
  });

  test('is refused a folder that another one uses', async () => {
    const child = await checking();
    const other = start(['--data', dataDir]);
    expect(await other.ended).toBe(1);
    expect(other.text()).toMatch(
      new RegExp(
        `^parallax: .*data is in use by another probe \\(process ${child.process.pid}\\): .*--data\n$`,
      ),
    );
    await hub.until(() => results().length >= 2, 20_000);
  });

  test('revoked ends with 1 and says why', async () => {
    const child = await checking();
    hub.probe().status = 'revoked';
    hub.wake();
    expect(await child.ended).toBe(1);
    expect(child.text()).toMatch(/parallax: the hub has revoked this probe \(stolen\)/);
  });

  test('with two workers checks on both, and tells its metrics on loopback', async () => {
    const child = await checking('--workers', '2', '--metrics', '0');
    await hub.until(() => results().length >= 4, 30_000);
    // A busy machine may make it oversleep one while it starts.
    const up = results().filter(({ outcome }) => outcome === 'up');
    expect(new Set(up.map(({ endpointId }) => endpointId))).toEqual(new Set([1, 2]));
    await child.said('"metrics":');
    const address = /"metrics":"([^"]+)"/.exec(child.text())?.[1] ?? '';
    expect(address).toMatch(/^127\.0\.0\.1:\d+$/);
    const text = await (await fetch(`http://${address}/metrics`)).text();
    expect(text).toMatch(/parallax_probe_results_total\{outcome="up",code=""\} [1-9]/);
    expect(text).toMatch(/parallax_probe_endpoints 2/);
    expect(text).toMatch(/parallax_probe_lease_age_seconds [0-9.]+/);
    expect(text).toMatch(/parallax_probe_spool_bytes [0-9]/);
    expect((await fetch(`http://${address}/`)).status).toBe(404);
    child.process.kill('SIGTERM');
    expect(await child.ended).toBe(0);
  });

  test('--once checks everything once, delivers it and ends: 0 where all is up', async () => {
    const child = await checking('--once', '--contact', 'https://ops.example/us');
    expect(await child.ended).toBe(0);
    expect(
      results()
        .map(({ endpointId, kind, outcome }) => [endpointId, kind, outcome])
        .sort(),
    ).toEqual([
      [1, 'extra', 'up'],
      [2, 'extra', 'up'],
    ]);
    expect([...target.hits.values()].flat().length).toBe(2);
    assign(hub, endpoint(2, 'http://127.0.0.1:1/nobody'));
    const again = start(['--data', dataDir, '--allow-network', '127.0.0.0/8', '--once']);
    expect(await again.ended).toBe(1);
    expect(again.text()).toMatch(/parallax: 2 of 2 checked: 1 up, 0 degraded, 1 down\n/);
    // What the first run sent and the hub had not called durable is sent again: the same batch.
    const bySeq = new Map(batches.map((batch) => [`${batch.stream}/${batch.seq}`, batch.results.length]));
    expect([...bySeq.values()].reduce((sum, count) => sum + count, 0)).toBe(4);
  });

  test('takes its flags from the environment, and keeps its folder to itself', async () => {
    assign(hub, endpoint(1, `${target.url}/1`));
    const child = start([], {
      PARALLAX_TOKEN_FILE: await tokenFile(),
      PARALLAX_DATA: dataDir,
      PARALLAX_ALLOW_NETWORK: '10.0.0.0/8, 127.0.0.0/8',
      PARALLAX_NAME: 'from-env',
    });
    // On a machine with no time to spare the first slots may be overslept.
    await hub.until(() => results().some(({ outcome }) => outcome === 'up'), 20_000);
    for (const name of await readdir(dataDir)) {
      expect((await stat(join(dataDir, name))).mode & 0o077, name).toBe(0);
    }
    child.process.kill('SIGTERM');
    expect(await child.ended).toBe(0);
  });
});

describe('what it is told wrongly', () => {
  const wrong: [args: string[], code: number, says: RegExp][] = [
    [['--hub', 'nonsense'], 2, /--hub nonsense: write it as https/],
    [['--hub', 'https://user:secret@hub.example'], 2, /--hub/],
    [['--workers', '0'], 2, /--workers 0: a whole number from 1/],
    [['--workers', '1.5'], 2, /--workers 1.5/],
    [['--name', 'a\u0007b'], 2, /--name: 1 to 100 characters that can be seen/],
    [['--name', ''], 2, /--name: 1 to 100/],
    [['--capacity', 'many'], 2, /--capacity many/],
    [['--delivery', 'pigeon'], 2, /--delivery pigeon: auto, kafka or relay/],
    [['--allow-network', '10.1'], 2, /--allow-network '10.1' is not a network/],
    [['--metrics', '70000'], 2, /--metrics 70000/],
    [['--spool-max', '1'], 2, /--spool-max 1: a size of 1MiB or more/],
    [['--log-level', 'loud'], 2, /--log-level loud: one of fatal/],
    [['--max-rate', '0'], 2, /--max-rate 0: a whole number from 1/],
    [['--max-memory', '1MiB'], 2, /--max-memory 1MiB: a size of 64MiB or more/],
    [['--nice', '-1'], 2, /--nice -1: a whole number from 0 to 19/],
    [['--contact', 'me and you'], 2, /--contact: write it as/],
    [['--orphan-webhook', 'ftp://secret@x'], 2, /--orphan-webhook: write it as/],
    [['--config', 'nowhere.yaml'], 2, /--config nowhere.yaml: there is no such file/],
    [['--token', 'a', '--token-file', 'b'], 2, /give one of them/],
    [['--token', 'px_123'], 1, /not an enrollment token \(an API token is another thing\)/],
    [['--nonsense'], 2, /unknown option '--nonsense'/],
    [['--hub-ca', '/nowhere.pem'], 1, /--hub-ca \/nowhere.pem: there is no such file/],
    [['--data', '/proc/parallax'], 1, /\/proc\/parallax: /],
    [['--data', '/dev/null'], 1, /\/dev\/null is not a folder/],
    [[], 1, /holds no identity yet/],
  ];
  test.each(wrong)('%j ends with %d in one line', async (args, code, says) => {
    const child = start([...(args.includes('--data') ? [] : ['--data', dataDir]), ...args]);
    expect(await child.ended).toBe(code);
    expect(child.text()).toMatch(says);
    expect(child.text()).toMatch(/^parallax: /);
    expect(child.text().trim().split('\n').length).toBeLessThanOrEqual(2);
    expect(child.text()).not.toContain('secret');
  });

  test('a file of settings is read below the environment, and that below the flags', async () => {
    await writeFile(join(folder, 'probe.yaml'), 'workers: 0\nname: of-file\nallow-network: [127.0.0.0/8]\n');
    const cases: [args: string[], env: Record<string, string>, says: RegExp][] = [
      [[], {}, /--workers 0/],
      [[], { PARALLAX_WORKERS: 'two' }, /--workers two/],
      [['--workers', 'three'], { PARALLAX_WORKERS: 'two' }, /--workers three/],
    ];
    for (const [args, env, says] of cases) {
      const child = start(['--data', dataDir, '--config', 'probe.yaml', ...args], env);
      expect(await child.ended).toBe(2);
      expect(child.text()).toMatch(says);
    }
  });

  test.each([
    ['worker: 1\n', /probe.yaml:1:1: worker: is not a known key: did you mean 'workers'\?/],
    ['hub: https://a.example\nname: [a]\n', /probe.yaml:2:1: name: must be text/],
    ['allow-proxy: maybe\n', /probe.yaml:1:1: allow-proxy: must be true or false/],
    ['a: [\n', /probe.yaml:\d+:\d+: /],
    ['- hub\n', /--config probe.yaml: must be a mapping/],
  ])('a file %j is wrong usage, by line and key', async (content, says) => {
    await writeFile(join(folder, 'probe.yaml'), content);
    const child = start(['--data', dataDir, '--config', 'probe.yaml']);
    expect(await child.ended).toBe(2);
    expect(child.text()).toMatch(says);
  });

  test('--help shows each flag and examples', async () => {
    const child = start(['--help']);
    expect(await child.ended).toBe(0);
    for (const flag of ['--hub', '--token-file', '--data', '--allow-network', '--spool-max', 'Examples:']) {
      expect(child.text()).toContain(flag);
    }
  });
});
