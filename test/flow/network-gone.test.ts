import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../hub/process/port.ts';
import { root } from '../harness/imports.ts';
import { type HubScene, startHubScene } from '../hub/hub-scene.ts';
import { until } from '../hub/ingest/until.ts';
import { type DnsServer, startDnsServer, type Zone } from '../probe/checks/dns-server.ts';
import { canHaveNamespaces, makeNamespaces, type Namespaces } from './namespaces.ts';

const able = await canHaveNamespaces();

/** Last numbers of the world's addresses. */
const [hubAt, dnsAt, lonelyAt, searchAt] = [2, 3, 20, 66];
const targetsAt = [11, 12, 13, 14, 15, 16];
const names = targetsAt.map((_, index) => `t${index + 1}`);
/** A name that does not exist, checked all the same. */
const absent = 'absent';
const intervalMs = 2000;

let folder = '';
let net: Namespaces;
let dns: DnsServer;
let hub: HubScene;
let origin = '';
let token = '';
let probe: ChildProcess;
let said = '';
const targets = new Map<string, Server>();
/** What DNS says of a name that the test has not given an address. */
let answerElse: ReturnType<Zone> = 'NXDOMAIN';
let answerAll: ReturnType<Zone> | null = null;

async function listenAt(host: string): Promise<Server> {
  const server = createServer((_, response) => response.end('fine')).listen(80, host);
  await once(server, 'listening');
  return server;
}

async function stopServer(server: Server | undefined): Promise<void> {
  if (!server?.listening) return;
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}

const ask = async <T>(path: string, init: RequestInit = {}): Promise<T> => {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const answer = await fetch(`${origin}${path}`, { ...init, headers });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  return JSON.parse(text) as T;
};

interface Row {
  readonly endpoint: string;
  readonly scheduledAt: number;
  readonly outcome: string;
  readonly suspect: boolean;
  readonly code: string | null;
  readonly message: string | null;
}

/** Slots that were due between, epoch ms. */
async function rowsBetween(fromMs: number, toMs: number): Promise<Row[]> {
  const all = await Promise.all(
    [...names, absent].map(async (endpoint) => {
      const query = `endpoint=${endpoint}&from=${fromMs * 1000}&to=${toMs * 1000}&limit=200`;
      const { results } = await ask<{
        results: (Omit<Row, 'code' | 'message'> & { failure: { code: string; message: string } | null })[];
      }>(`/api/v1/results?${query}`);
      return results.map(({ scheduledAt, outcome, suspect, failure }) => ({
        endpoint,
        scheduledAt,
        outcome,
        suspect,
        code: failure?.code ?? null,
        message: failure?.message ?? null,
      }));
    }),
  );
  return all.flat();
}

interface ProbeNetwork {
  readonly state: string;
  readonly why: string;
}

async function network(): Promise<ProbeNetwork | null> {
  const { probes } = await ask<{ probes: { network: ProbeNetwork | null }[] }>('/api/v1/probes');
  return probes[0]?.network ?? null;
}

/** All targets answer, and the hub has heard so. */
async function allUp(sinceMs = Date.now()): Promise<void> {
  const up = async () => {
    const rows = await rowsBetween(sinceMs, Date.now() + 1000).catch(() => []);
    return names.every((name) => rows.some(({ endpoint, outcome }) => endpoint === name && outcome === 'up'));
  };
  await until(up, 60_000).catch(async (error) => {
    throw new Error(
      `not all up; ${JSON.stringify(await rowsBetween(sinceMs, Date.now()))}\n${said.slice(-4000)}`,
      {
        cause: error,
      },
    );
  });
}

/** Breaks it, waits for some slots, mends it, and gives the slots that were due while it was broken. */
async function whileBroken(
  breakIt: () => Promise<void>,
  mend: () => Promise<void>,
  lastMs = 4 * intervalMs,
  meanwhile: () => Promise<void> = async () => undefined,
): Promise<Row[]> {
  await allUp();
  await breakIt();
  const fromMs = Date.now();
  let toMs = fromMs;
  try {
    await wait(lastMs);
    await meanwhile();
    toMs = Date.now();
  } finally {
    await mend();
  }
  await allUp(Date.now());
  // What was due in the last moment may have been taken through the mended network.
  return rowsBetween(fromMs, toMs - 1500);
}

const label = ({ outcome, code }: Row) => `${outcome}${code ? ` ${code}` : ''}`;

/**
 * Labels of all slots, each once; those of one endpoint where it is named. Whether one is suspect is not among them: a
 * busy machine makes any of them so.
 */
const labels = (rows: readonly Row[], endpoint?: string) =>
  [...new Set(rows.filter((row) => !endpoint || row.endpoint === endpoint).map(label))].sort();

const ofTargets = (rows: readonly Row[]) => rows.filter(({ endpoint }) => endpoint !== absent);

beforeAll(async () => {
  if (!able) return;
  folder = await mkdtemp(join(tmpdir(), 'parallax-netns-'));
  net = await makeNamespaces([hubAt, dnsAt, lonelyAt, searchAt, ...targetsAt], dnsAt);
  const at = (host: number) => `${net.world}${host}`;
  const zone: Zone = (name, type) => {
    if (answerAll !== null) return type === 'A' || typeof answerAll === 'string' ? answerAll : [];
    const known = name === 'hub.test' ? hubAt : targetsAt[names.indexOf(name.replace('.test', ''))];
    if (known === undefined) return type === 'A' || typeof answerElse === 'string' ? answerElse : [];
    return type === 'A' ? [at(known)] : [];
  };
  dns = await startDnsServer(zone, () => 0, { host: at(dnsAt), port: 53 });
  for (const [index, host] of targetsAt.entries()) targets.set(names[index] ?? '', await listenAt(at(host)));
  targets.set('search', await listenAt(at(searchAt)));
  const port = await freePort();
  hub = await startHubScene({
    listen: { host: at(hubAt), port },
    publicUrl: `http://hub.test:${port}`,
    hosts: [at(hubAt)],
  });
  origin = `http://${at(hubAt)}:${port}`;
  token = await hub.token(['admin']);
  for (const name of [...names, absent]) {
    const endpoint = { name, url: `http://${name}.test/`, interval: `${intervalMs}ms`, timeout: '1s' };
    await ask('/api/v1/endpoints', { method: 'POST', body: JSON.stringify(endpoint) });
  }
  const enrolled = await ask<{ token: string }>('/api/v1/enrollments', {
    method: 'POST',
    body: JSON.stringify({ region: 'eu-west' }),
  });
  const bundles = join(folder, 'bundles');
  await promisify(execFile)(process.execPath, [
    join(root, 'deploy/build.mjs'),
    '--quiet',
    '--outdir',
    bundles,
  ]);
  const command = [process.execPath, join(bundles, 'parallax.js'), 'probe', '--data', join(folder, 'probe')];
  command.push(
    '--name',
    'lonely',
    '--allow-network',
    `${net.world}0/24`,
    '--allow-network',
    `${net.gateway}/32`,
  );
  const [file, args] = net.inside('probe', command);
  probe = spawn(file, args, {
    env: { ...process.env, PARALLAX_ENROLL_TOKEN: enrolled.token },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [probe.stdout, probe.stderr]) {
    stream?.setEncoding('utf8').on('data', (part: string) => {
      said += part;
    });
  }
}, 120_000);

afterAll(async () => {
  if (!able) return;
  if (probe && probe.exitCode === null) {
    probe.kill('SIGTERM');
    await once(probe, 'exit');
  }
  await hub?.stop();
  for (const server of targets.values()) await stopServer(server);
  await dns?.close();
  await net?.end();
  await rm(folder, { recursive: true, force: true });
});

describe.skipIf(!able)('a probe in a network of its own', () => {
  test('has six targets that are up, and one that does not exist', async () => {
    await allUp();
    await until(async () => (await network())?.state === 'ok', 30_000);
    const rows = await rowsBetween(0, Date.now());
    expect(labels(rows, absent)).toEqual(['down dns.nxdomain']);
    expect(labels(ofTargets(rows))).toEqual(['up']);
  });

  /** While nothing can be reached: not one slot is told as a target's failure. */
  function nothingIsDown(rows: readonly Row[]): void {
    expect(rows.length).toBeGreaterThan(names.length);
    expect(labels(ofTargets(rows))).toEqual(['skipped probe.network']);
    expect(labels(rows, absent)).toEqual(['skipped probe.network']);
  }

  test('whose link is down says probe.network', async () => {
    const rows = await whileBroken(
      () => net.atProbe('link', 'set', 'up0', 'down'),
      async () => {
        await net.atProbe('link', 'set', 'up0', 'up');
        await net.atProbe('route', 'add', 'default', 'via', net.gateway);
      },
    );
    nothingIsDown(rows);
    await until(async () => (await network())?.why.includes('gone for') ?? false, 20_000);
    expect(await network()).toMatchObject({ state: 'ok', why: expect.stringMatching(/gone for \d+ s/) });
  });

  test('whose gateway is gone says probe.network', async () => {
    const rows = await whileBroken(
      () => net.atGateway('addr', 'del', `${net.gateway}/24`, 'dev', 'in0'),
      () => net.atGateway('addr', 'add', `${net.gateway}/24`, 'dev', 'in0'),
    );
    nothingIsDown(rows);
  });

  test('whose gateway lives, with nothing behind it, says probe.network', async () => {
    const halves = [`${net.world}0/25`, `${net.world}128/25`];
    const rows = await whileBroken(
      async () => {
        for (const half of halves) await net.atGateway('route', 'add', 'blackhole', half);
      },
      async () => {
        for (const half of halves) await net.atGateway('route', 'del', 'blackhole', half);
      },
    );
    nothingIsDown(rows);
    await until(
      async () => (await network())?.why.includes(`the gateway ${net.gateway} can`) ?? false,
      20_000,
    );
  });

  test('whose DNS alone is dead says probe.network', async () => {
    const rows = await whileBroken(
      async () => {
        answerAll = 'silence';
      },
      async () => {
        answerAll = null;
      },
      4 * intervalMs,
      async () => {
        await until(async () => (await network())?.state === 'doubtful', 20_000);
        expect(await network()).toMatchObject({ why: expect.stringContaining('DNS') });
      },
    );
    nothingIsDown(rows);
  });

  test('whose DNS makes up what does not exist believes no such address', async () => {
    const rows = await whileBroken(
      async () => {
        answerElse = [`${net.world}${searchAt}`];
      },
      async () => {
        answerElse = 'NXDOMAIN';
      },
      4 * intervalMs,
      async () => {
        // It is looked for once a minute while nothing fails.
        await until(async () => (await network())?.state === 'doubtful', 75_000);
        await wait(2 * intervalMs);
      },
    );
    expect(labels(ofTargets(rows))).toEqual(['up']);
    // The search page answers 200 for a name that is not there: up for so long as nobody looked.
    expect(labels(rows.slice(-1), absent).concat(labels(rows, absent))).toContain('skipped probe.network');
    const last = rows
      .filter(({ endpoint }) => endpoint === absent)
      .sort((a, b) => b.scheduledAt - a.scheduledAt)[0];
    expect(last).toMatchObject({
      outcome: 'skipped',
      message: expect.stringContaining('names that do not exist'),
    });
  }, 240_000);

  test('behind a captive portal says so, and calls nothing up or down', async () => {
    let portal: ChildProcess | undefined;
    const caught = [hubAt, ...targetsAt].map((host) => `${net.world}${host}/32`);
    const rows = await whileBroken(
      async () => {
        const script = join(root, 'test/flow/portal-child.ts');
        const [file, args] = net.inside('gateway', [process.execPath, script, `http://${net.gateway}`]);
        portal = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        if (portal.stdout) await once(portal.stdout, 'data');
        for (const each of caught) await net.atGateway('route', 'add', 'local', each, 'dev', 'lo');
      },
      async () => {
        for (const each of caught) await net.atGateway('route', 'del', 'local', each, 'dev', 'lo');
        portal?.kill('SIGKILL');
      },
      10_000,
      // Until somebody looks, once a minute while nothing fails, its page is as good as any.
      () => until(() => /captive portal/.test(said), 75_000),
    );
    const down = rows.filter(
      ({ outcome, suspect, endpoint }) => outcome === 'down' && !suspect && endpoint !== absent,
    );
    expect(down).toEqual([]);
    await until(async () => (await network())?.why.includes('captive portal') ?? false, 20_000);
  }, 240_000);

  test('one target that is dead is down, at once', async () => {
    const began = Date.now();
    const rows = await whileBroken(
      () => stopServer(targets.get('t1')),
      async () => {
        targets.set('t1', await listenAt(`${net.world}${targetsAt[0]}`));
      },
    );
    expect(labels(rows, 't1')).toEqual(['down connect.refused']);
    expect(labels(ofTargets(rows).filter(({ endpoint }) => endpoint !== 't1'))).toEqual(['up']);
    expect(rows.every(({ scheduledAt }) => scheduledAt / 1000 > began)).toBe(true);
  });

  test('one target that is silent is down, though nobody answers for it', async () => {
    const silent = `${net.world}${targetsAt[1]}/32`;
    const rows = await whileBroken(
      () => net.atGateway('route', 'add', 'blackhole', silent),
      () => net.atGateway('route', 'del', 'blackhole', silent),
    );
    expect(labels(rows, 't2')).toEqual(['down connect.timeout']);
    expect(labels(ofTargets(rows).filter(({ endpoint }) => endpoint !== 't2'))).toEqual(['up']);
  });

  test('half of the targets dead, as one host dies, are down', async () => {
    const half = names.slice(0, 3);
    const before = said.length;
    const rows = await whileBroken(
      async () => {
        for (const name of half) await stopServer(targets.get(name));
      },
      async () => {
        for (const [index, name] of half.entries())
          targets.set(name, await listenAt(`${net.world}${targetsAt[index]}`));
      },
    );
    for (const name of half) expect(labels(rows, name)).toEqual(['down connect.refused']);
    expect(said.slice(before)).not.toContain('more than half');
    for (const name of names.slice(3)) expect(labels(rows, name)).toEqual(['up']);
  });

  test('most of the targets dead are suspect for an interval, then down', async () => {
    const most = names.slice(0, 5);
    const rows = await whileBroken(
      async () => {
        for (const name of most) await stopServer(targets.get(name));
      },
      async () => {
        for (const [index, name] of most.entries())
          targets.set(name, await listenAt(`${net.world}${targetsAt[index]}`));
      },
      6 * intervalMs,
    );
    const found = ofTargets(rows).filter(({ endpoint }) => most.includes(endpoint));
    expect(labels(found)).toEqual(['down connect.refused']);
    // Those that fell last had more than half of all before them.
    const firsts = most.map((name) =>
      found
        .filter(({ endpoint }) => endpoint === name)
        .reduce((a, b) => (a.scheduledAt < b.scheduledAt ? a : b)),
    );
    const inOrder = firsts.sort((a, b) => a.scheduledAt - b.scheduledAt);
    expect(inOrder.slice(-2).map(({ suspect }) => suspect)).toEqual([true, true]);
    // An outage that lasts is told, whoever has it.
    const late = found.filter(({ scheduledAt }) => scheduledAt > (inOrder.at(-1)?.scheduledAt ?? 0));
    expect(late.some(({ suspect }) => !suspect)).toBe(true);
    expect(said).toContain('more than half of the targets that were up failed at once');
    expect(labels(rows, 't6')).toEqual(['up']);
  });
});
