import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { root } from '../harness/imports.ts';
import { startFakeHub } from '../probe/fake-hub.ts';
import { startChild } from './child.ts';
import { cpuSeconds, memoryMb } from './process-figures.ts';
import { type Row, row } from './report.ts';

const endpoints = 10_000;
const perSecond = 500;
/** So many addresses of loopback, since a probe opens at most 100 connections a second to one. */
const addresses = 20;
/** Until the young generation and the caches have found their size. */
const settleSeconds = 30;

/** A whole probe, as its host runs it: memory and CPU with 10,000 endpoints at 500 checks a second. */
export async function benchMemory(seconds: number, say: (line: string) => void): Promise<Row[]> {
  const what = `${endpoints} endpoints, ${perSecond} checks/s`;
  say(what);
  await promisify(execFile)(process.execPath, [join(root, 'deploy/build.mjs'), '--quiet']);
  const folder = await mkdtemp(join(tmpdir(), 'parallax-bench-'));
  const target = startChild('other', process.execPath, [
    join(import.meta.dirname, 'target-child.ts'),
    'http',
    '512',
    '0.0.0.0',
  ]);
  const hub = await startFakeHub();
  try {
    const { url } = await target.next<{ url: string }>(10_000);
    const { port } = new URL(url);
    for (let id = 1; id <= endpoints; id += 1) hub.endpoints.set(id, endpointOf(id, port));
    hub.pollMs = 2000;
    hub.bendClaims = (claims, { asked }) => {
      const durable = (asked?.streams ?? []).map(({ stream, lastSeq }) => ({ stream, upTo: lastSeq }));
      return { ...claims, durable };
    };
    const token = join(folder, 'token');
    await writeFile(token, await hub.token());
    const probe = startChild('measured', process.execPath, [
      join(root, 'dist/parallax.js'),
      'probe',
      ...['--hub', hub.url, '--token-file', token, '--data', join(folder, 'data')],
      ...['--allow-network', '127.0.0.0/8', '--log-level', 'warn'],
    ]);
    const idle = startChild('other', process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    try {
      await hub.until(() => hub.probes.size > 0, 30_000);
      hub.giveAll(hub.probe());
      hub.wake();
      await sleep(settleSeconds * 1000);
      const before = { cpu: await cpuSeconds(probe.pid), atMs: performance.now() };
      await sleep(Math.max(10, seconds) * 1000);
      const cpu = (await cpuSeconds(probe.pid)) - before.cpu;
      const checks = (perSecond * (performance.now() - before.atMs)) / 1000;
      const memory = await memoryMb(probe.pid);
      const bare = await memoryMb(idle.pid);
      const same = { bench: 'memory', peer: null };
      return [
        row({
          ...same,
          what: `memory of a probe: ${what}`,
          value: memory.now,
          unit: 'MB',
          limit: bare.now,
          budget: 150,
        }),
        row({
          ...same,
          what: `its peak: ${what}`,
          value: memory.peak,
          unit: 'MB',
          limit: bare.peak,
          budget: null,
        }),
        row({
          ...same,
          what: 'CPU a check, spool and delivery included',
          value: (cpu * 1000) / checks,
          unit: 'ms',
          limit: null,
          budget: null,
        }),
      ];
    } finally {
      await probe.stop();
      await idle.stop();
    }
  } finally {
    await hub.close();
    await target.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function endpointOf(id: number, port: string) {
  return {
    id,
    rev: 1,
    name: `endpoint ${id}`,
    url: `http://127.0.0.${1 + (id % addresses)}:${port}/${id}`,
    intervalMs: (endpoints / perSecond) * 1000,
    timeoutMs: 5000,
    replicas: 1,
    retries: { count: 0, delayMs: 1000 },
    robots: 'ignore' as const,
    changedAt: 0,
    request: {},
    expect: {},
  };
}
