import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import { readEndpointFiles } from '../cli/endpoint-files.ts';
import { freePort } from '../process/port.ts';
import type { Supervised } from '../process/supervise.ts';
import { startDatabase, startHub } from './core.ts';
import { startEndpoints } from './endpoints.ts';
import { openHome } from './home.ts';
import { type Listen, originOf, requirePort } from './listen.ts';
import type { Network, Say } from './network.ts';
import { openOperator } from './operator.ts';
import { localRegions, startProbes } from './probes.ts';

export interface UpOptions {
  readonly listen: Listen;
  /** Everything is kept here. */
  readonly data: string;
  /** An endpoint file of one's own in place of the demo site. */
  readonly endpoints: string | null;
  /** What the local probes may reach beside public addresses. */
  readonly allowNetwork: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The shares of the ten seconds in which everything must be gone. */
const stopMs = { probe: 4000, demo: 500, hub: 3000, postgres: 2500 } as const;

/** Everything on this machine, each part a process of its own, until `signal`; then all is stopped, the database last. */
export async function up(options: UpOptions, say: Say, signal: AbortSignal): Promise<void> {
  const example = options.endpoints === null ? 'demo-healthy' : await firstName(options, signal);
  const home = await openHome(resolve(options.data), options.env);
  const components: Supervised[] = [];
  try {
    const listen = options.listen.port === 0 ? { ...options.listen, port: await freePort() } : options.listen;
    await requirePort(listen, home.afterKill ? 10_000 : 0);
    const network: Network = { ...options, listen, home, origin: originOf(listen), say, signal, components };
    const databaseUrl = await startDatabase(network);
    await startHub(network, databaseUrl);
    const operator = await openOperator(
      home.folder,
      network.origin,
      databaseUrl(),
      options.env.PARALLAX_KEYS || home.keys,
    );
    const demo = await startEndpoints(network, operator);
    await startProbes(network, operator, demo);
    greet(network, operator.signInLink, example);
    await aborted(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    if (components.length > 0) say('stopping', components.map(({ name }) => name).join(', '));
    await stopAll(components);
    await home.lock.release();
  }
  say('stopped', `the data stays in ${home.folder}`);
}

function greet({ home, origin, say }: Network, signInLink: string, example: string): void {
  say('', '');
  say('dashboard', origin);
  say('sign in', `${signInLink}   (works once, for 15 minutes)`);
  say('results', `npx parallax results ${example}`);
  say('', `seen from ${localRegions.join(', ')}; Ctrl-C stops everything, the data stays in ${home.folder}`);
}

/** Reads the file before anything is started: what is wrong with it is told at once. */
async function firstName({ endpoints, env }: UpOptions, signal: AbortSignal): Promise<string> {
  if (endpoints === null) return 'NAME';
  await requireFile(endpoints);
  const [first] = await readEndpointFiles([resolve(endpoints)], { cwd: process.cwd(), env, signal });
  return first?.endpoint.name ?? 'NAME';
}

async function requireFile(file: string): Promise<void> {
  await access(file).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `--endpoints ${file}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
    );
  });
}

/** Probes first, so that what they hold is still taken in; the database last. */
async function stopAll(components: readonly Supervised[]): Promise<void> {
  for (const kind of ['probe', 'demo', 'hub', 'postgres'] as const) {
    const these = components.filter(({ name }) => name.split(' ')[0] === kind);
    await Promise.all(these.map((component) => component.stop(stopMs[kind])));
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    signal.addEventListener('abort', () => done(), { once: true });
  });
}
