import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../../hub/process/port.ts';
import { root } from '../harness/imports.ts';
import { type HubScene, startHubScene } from '../hub/hub-scene.ts';
import { until } from '../hub/ingest/until.ts';
import { type DnsServer, startDnsServer, type Zone } from '../probe/checks/dns-server.ts';
import { makeNamespaces, type Namespaces } from './namespaces.ts';

/** Last numbers of the world's addresses. */
const [hubAt, dnsAt, lonelyAt, searchAt] = [2, 3, 20, 66];
const targetsAt = [11, 12, 13, 14, 15, 16];
export const names = targetsAt.map((_, index) => `t${index + 1}`);
/** A name that does not exist, checked all the same. */
export const absent = 'absent';
export const intervalMs = 2000;

/** What a result says, shortly. */
export interface Row {
  readonly endpoint: string;
  readonly scheduledAt: number;
  readonly outcome: string;
  readonly suspect: boolean;
  readonly code: string | null;
  readonly message: string | null;
}

export interface ProbeNetwork {
  readonly state: string;
  readonly why: string;
}

/** A probe alone in a network of the kernel's own; hub, DNS and six targets in the world behind its gateway. */
export interface LonelyProbe {
  readonly net: Namespaces;
  /** What DNS says of a name that has no address; of all names, where `all` is not null. */
  readonly dns: { absent: ReturnType<Zone>; all: ReturnType<Zone> | null };
  /** All that the probe wrote. */
  said(): string;
  network(): Promise<ProbeNetwork | null>;
  /** Slots that were due between, epoch ms. */
  rowsBetween(fromMs: number, toMs: number): Promise<Row[]>;
  /** All targets answer, and the hub has heard so. */
  allUp(): Promise<void>;
  /** Breaks it, waits for some slots, mends it, and gives the slots that were due while it was broken. */
  whileBroken(
    breakIt: () => Promise<void>,
    mend: () => Promise<void>,
    lastMs?: number,
    meanwhile?: () => Promise<void>,
  ): Promise<Row[]>;
  stopTarget(name: string): Promise<void>;
  startTarget(name: string): Promise<void>;
  /** Of the target of that name, or of the one that stands where made-up names lead. */
  addressOf(name: string): string;
  /** Addresses of hub and targets. */
  addresses(): readonly string[];
  end(): Promise<void>;
}

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

const label = ({ outcome, code }: Row) => `${outcome}${code ? ` ${code}` : ''}`;

/**
 * Labels of all slots, each once; those of one endpoint where it is named. Whether one is suspect is not among them: a
 * busy machine makes any of them so.
 */
export const labels = (rows: readonly Row[], endpoint?: string) =>
  [...new Set(rows.filter((row) => !endpoint || row.endpoint === endpoint).map(label))].sort();

export const ofTargets = (rows: readonly Row[]) => rows.filter(({ endpoint }) => endpoint !== absent);

export async function startLonelyProbe(): Promise<LonelyProbe> {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-netns-'));
  const net = await makeNamespaces([hubAt, dnsAt, lonelyAt, searchAt, ...targetsAt], dnsAt);
  const at = (host: number) => `${net.world}${host}`;
  const addressOf = (name: string) =>
    at(name === 'search' ? searchAt : (targetsAt[names.indexOf(name)] ?? lonelyAt));
  const said: LonelyProbe['dns'] = { absent: 'NXDOMAIN', all: null };
  const zone: Zone = (name, type) => {
    const only = (answer: ReturnType<Zone>) => (type === 'A' || typeof answer === 'string' ? answer : []);
    if (said.all !== null) return only(said.all);
    if (name === 'hub.test') return only([at(hubAt)]);
    const target = name.replace('.test', '');
    return only(names.includes(target) ? [addressOf(target)] : said.absent);
  };
  const ending: (() => Promise<unknown>)[] = [
    () => rm(folder, { recursive: true, force: true }),
    () => net.end(),
  ];
  async function end(): Promise<void> {
    for (const step of ending.splice(0).reverse()) await step();
  }

  const targets = new Map<string, Server>();
  const stopTarget = (name: string) => stopServer(targets.get(name));
  const startTarget = async (name: string) => void targets.set(name, await listenAt(addressOf(name)));

  try {
    const dns: DnsServer = await startDnsServer(zone, () => 0, { host: at(dnsAt), port: 53 });
    ending.push(() => dns.close());
    ending.push(() => Promise.all([...targets.keys()].map(stopTarget)));
    for (const name of [...names, 'search']) await startTarget(name);
    const port = await freePort();
    const hub: HubScene = await startHubScene({
      listen: { host: at(hubAt), port },
      publicUrl: `http://hub.test:${port}`,
      hosts: [at(hubAt)],
    });
    ending.push(() => hub.stop());
    const ask = asker(`http://${at(hubAt)}:${port}`, await hub.token(['admin']));
    for (const name of [...names, absent]) {
      const endpoint = { name, url: `http://${name}.test/`, interval: `${intervalMs}ms`, timeout: '1s' };
      await ask('/api/v1/endpoints', endpoint);
    }
    const { token } = await ask<{ token: string }>('/api/v1/enrollments', { region: 'eu-west' });
    const probe = await startProbe(folder, net, token);
    ending.push(() => probe.stop());
    const seen = watch(ask, probe.said);
    return {
      net,
      dns: said,
      said: probe.said,
      ...seen,
      stopTarget,
      startTarget,
      addressOf,
      addresses: () => [at(hubAt), ...names.map(addressOf)],
      end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

type Ask = <T>(path: string, body?: object) => Promise<T>;

/** A request of an operator's; a POST where there is a body. */
const asker =
  (origin: string, token: string): Ask =>
  async <T>(path: string, body?: object) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await fetch(
      `${origin}${path}`,
      body ? { method: 'POST', body: JSON.stringify(body), headers } : { headers },
    );
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as T;
  };

/** Bundles that other users can read, and that no other test builds anew meanwhile. */
async function startProbe(folder: string, net: Namespaces, token: string) {
  const bundles = join(folder, 'bundles');
  const build = [join(root, 'deploy/build.mjs'), '--quiet', '--outdir', bundles];
  await promisify(execFile)(process.execPath, build);
  const [file, args] = net.inside('probe', [
    ...[process.execPath, join(bundles, 'parallax.js'), 'probe', '--data', join(folder, 'probe')],
    ...['--name', 'lonely', '--allow-network', `${net.world}0/24`, '--allow-network', `${net.gateway}/32`],
  ]);
  const probe: ChildProcess = spawn(file, args, {
    env: { ...process.env, PARALLAX_ENROLL_TOKEN: token },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [probe.stdout, probe.stderr]) {
    stream?.setEncoding('utf8').on('data', (part: string) => {
      said += part;
    });
  }
  return {
    said: () => said,
    async stop() {
      if (probe.exitCode !== null) return;
      probe.kill('SIGTERM');
      await once(probe, 'exit');
    },
  };
}

function watch(
  ask: Ask,
  said: () => string,
): Pick<LonelyProbe, 'rowsBetween' | 'network' | 'allUp' | 'whileBroken'> {
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

  async function allUp(): Promise<void> {
    const sinceMs = Date.now();
    const up = async () => {
      const rows = await rowsBetween(sinceMs, Date.now() + 1000).catch(() => []);
      return names.every((name) =>
        rows.some(({ endpoint, outcome }) => endpoint === name && outcome === 'up'),
      );
    };
    await until(up, 60_000).catch(async (cause) => {
      const rows = JSON.stringify(await rowsBetween(sinceMs, Date.now()));
      throw new Error(`not all up; ${rows}\n${said().slice(-4000)}`, { cause });
    });
  }

  return {
    rowsBetween,
    allUp,
    async network() {
      const { probes } = await ask<{ probes: { network: ProbeNetwork | null }[] }>('/api/v1/probes');
      return probes[0]?.network ?? null;
    },
    async whileBroken(breakIt, mend, lastMs = 4 * intervalMs, meanwhile = async () => undefined) {
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
      await allUp();
      // What was due in the last moment may have been taken through the mended network.
      return rowsBetween(fromMs, toMs - 1500);
    },
  };
}
