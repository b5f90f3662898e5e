import { access, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectHub } from '../cli/hub-client.ts';
import type { Demo } from '../demo/prepare.ts';
import { makeFolder } from '../process/folder.ts';
import { type Supervised, supervise } from '../process/supervise.ts';
import { runCommand, startChild } from './child.ts';
import type { Network } from './network.ts';
import type { Operator } from './operator.ts';

export const localRegions = ['eu-west', 'us-east', 'ap-south'] as const;

/** One probe a region. One that enrolled before keeps its key and asks for no token again. */
export async function startProbes(network: Network, operator: Operator, demo: Demo | null): Promise<void> {
  const { home, allowNetwork, say, components } = network;
  const demoPorts = demo ? [`127.0.0.1/32:${demo.httpPort}`, `127.0.0.1/32:${demo.httpsPort}`] : [];
  const allow = [...demoPorts, ...allowNetwork].flatMap((each) => ['--allow-network', each]);
  // Where one cannot start, the others are not left half-way.
  const failing = new AbortController();
  const starting = localRegions.map(async (region) => {
    const signal = AbortSignal.any([network.signal, failing.signal]);
    const probe = await startProbe({ ...network, signal }, operator, region, allow).catch(
      (error: unknown) => {
        failing.abort();
        throw error;
      },
    );
    components.push(probe);
    say(`probe ${region}`, `ready (process ${probe.pid()}), data in ${home.probe(region)}`);
  });
  await Promise.all(starting).catch(async (error: unknown) => {
    await Promise.allSettled(starting);
    throw error;
  });
}

async function startProbe(
  network: Network,
  operator: Operator,
  region: string,
  allow: readonly string[],
): Promise<Supervised> {
  const { home, origin, say, signal } = network;
  const data = home.probe(region);
  const name = `local-${region}`;
  await makeFolder(data, 0o700);
  const token = join(home.folder, 'probes', `${region}.token`);
  if (!(await isEnrolled(data))) {
    const minted = await runCommand(['enroll', '--region', region, '--ttl', '10m'], operator.env, signal);
    await writeFile(token, minted, { mode: 0o600 });
  }
  const since = Date.now();
  const probe = await supervise({
    name: `probe ${region}`,
    say: (line) => say(`probe ${region}`, line),
    start: (stopping) =>
      startChild(
        {
          argv: ['probe', '--hub', origin, '--token-file', token, '--data', data, '--name', name, ...allow],
          env: {},
          logFile: home.log(`probe-${region}`),
        },
        (waiting) => untilSeen(operator, name, since, waiting),
        AbortSignal.any([signal, stopping]),
      ),
  });
  await rm(token, { force: true });
  return probe;
}

/** Whether the hub knows this folder's key already. */
async function isEnrolled(data: string): Promise<boolean> {
  return access(join(data, 'identity.json')).then(
    () => true,
    () => false,
  );
}

interface SeenProbe {
  readonly name: string;
  readonly seenAt: string | null;
}

/** Resolves when the hub has given it a lease. */
async function untilSeen(
  operator: Operator,
  name: string,
  since: number,
  signal: AbortSignal,
): Promise<void> {
  const hub = await connectHub(operator.env, '.', signal);
  const until = performance.now() + 30_000;
  while (performance.now() < until) {
    const { probes } = await hub.get<{ probes: readonly SeenProbe[] }>('/api/v1/probes');
    if (probes.some((probe) => probe.name === name && Date.parse(probe.seenAt ?? '') >= since)) return;
    await sleep(200, undefined, { signal });
  }
  throw new Error('it got no lease within 30 s');
}
