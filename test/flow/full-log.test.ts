import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../hub/process/port.ts';
import { root } from '../harness/imports.ts';
import { testDatabase } from '../harness/postgres.ts';
import { until } from '../hub/ingest/until.ts';
import { buildOnce, cli } from './up-process.ts';

const started: ChildProcess[] = [];
let folder = '';

beforeAll(async () => {
  await buildOnce();
  folder = await mkdtemp(join(tmpdir(), 'parallax-full-log-'));
});
afterAll(async () => {
  for (const child of started) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

/** What it prints goes to a device that has no space left, ever. */
async function startOnFullDisk(args: readonly string[], env: Record<string, string>): Promise<ChildProcess> {
  const full = await open('/dev/full', 'w');
  const child = spawn(process.execPath, [join(root, 'dist/parallax.js'), ...args], {
    env: { ...process.env, KAFKA_BROKERS: '', ...env },
    stdio: ['ignore', full.fd, full.fd],
  });
  started.push(child);
  await full.close();
  return child;
}

describe.runIf(process.platform === 'linux')('a log that cannot be written', () => {
  test('stops neither the hub nor a probe', async () => {
    const database = await testDatabase();
    const origin = `http://127.0.0.1:${await freePort()}`;
    const hubEnv = {
      DATABASE_URL: database.url,
      PARALLAX_KEYS: join(folder, 'keys'),
      PARALLAX_SECRET: Buffer.alloc(32, 7).toString('base64'),
    };
    const hub = await startOnFullDisk(['hub', '--listen', origin.slice('http://'.length)], hubEnv);
    await until(async () => (await fetch(`${origin}/readyz`).catch(() => null))?.ok === true, 30_000);
    const link = (await cli(['sign-in'], { ...hubEnv, PARALLAX_PUBLIC_URL: origin })).stdout.trim();
    const session = await fetch(`${origin}/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin },
      body: JSON.stringify({ secret: link.split('#')[1] }),
    });
    const cookie = session.headers.get('set-cookie')?.split(';')[0] ?? '';
    const minted = await fetch(`${origin}/api/v1/enrollments`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin, cookie },
      body: JSON.stringify({ region: 'full' }),
    });
    const { token } = (await minted.json()) as { token: string };
    await writeFile(join(folder, 'token'), token);
    const args = ['probe', '--token-file', join(folder, 'token'), '--data', join(folder, 'probe')];
    const probe = await startOnFullDisk([...args, '--log-level', 'trace'], {});
    const leases = async () => {
      const answer = await fetch(`${origin}/api/v1/probes`, { headers: { cookie } });
      const { probes } = (await answer.json()) as { probes: { leaseVersion: number | null }[] };
      return probes[0]?.leaseVersion ?? 0;
    };
    await until(async () => (await leases()) > 0, 20_000);
    const first = await leases();
    await until(async () => (await leases()) > first, 20_000);
    for (const child of [probe, hub]) {
      expect([child.exitCode, child.signalCode]).toEqual([null, null]);
      child.kill('SIGTERM');
      expect(await once(child, 'exit')).toEqual([0, null]);
    }
    await database.drop();
  }, 120_000);

  test('but data that was asked for and cannot be written is a failure', async () => {
    const child = await startOnFullDisk(['--help'], {});
    expect(await once(child, 'exit')).toEqual([1, null]);
  });
});
