import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Running, supervise } from '../../../hub/process/supervise.ts';
import { startTethered, stopTethered } from '../../../hub/process/tethered.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parallax-process-'));
});
afterAll(() => rm(folder, { recursive: true }));

const backoff = { firstMs: 20, mostMs: 80, calmMs: 60_000 };

/** A real process that runs the shell text. */
async function shell(text: string): Promise<Running> {
  const log = await open(join(folder, 'log'), 'a');
  const child = await startTethered({
    file: '/bin/sh',
    args: ['-c', text],
    stopSignal: 'SIGTERM',
    output: log.fd,
    env: process.env,
    cwd: folder,
  });
  await log.close();
  const { pid, exited } = child;
  return {
    pid,
    exited,
    stop: async (withinMs) => {
      await stopTethered(child, [
        ['SIGTERM', withinMs],
        ['SIGKILL', 1000],
      ]);
    },
  };
}

async function until(holds: () => boolean | Promise<boolean>, deadlineMs = 5000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error('it did not come to hold');
    await sleep(10);
  }
}

const alive = async (pid: number) => (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) !== '';

describe('a supervised process', () => {
  test('that is killed comes back, and both are said', async () => {
    const lines: string[] = [];
    const one = await supervise({
      name: 'one',
      start: () => shell('sleep 100'),
      say: (line) => lines.push(line),
      backoff,
    });
    const first = one.pid() ?? 0;
    process.kill(first, 'SIGKILL');
    await until(() => lines.length === 2);
    expect(lines[0]).toBe('ended (SIGKILL), starting again in 0.02 s');
    expect(lines[1]).toMatch(/^is back \(process \d+\)$/);
    const second = one.pid() ?? 0;
    expect(second).not.toBe(first);
    await one.stop(1000);
    expect(await alive(second)).toBe(false);
  });

  test('whose first start fails rejects, and is not started again', async () => {
    let starts = 0;
    const failing = supervise({
      name: 'one',
      start: async () => {
        starts += 1;
        throw new Error('port in use');
      },
      say: () => undefined,
      backoff,
    });
    await expect(failing).rejects.toThrow('port in use');
    await sleep(100);
    expect(starts).toBe(1);
  });

  test('that ends again and again is tried ever more rarely, and a stop meanwhile is heard', async () => {
    const lines: string[] = [];
    const one = await supervise({
      name: 'one',
      start: () => shell('exit 3'),
      say: (line) => lines.push(line),
      backoff,
    });
    await until(() => lines.filter((line) => line.startsWith('ended')).length >= 4);
    await one.stop(1000);
    const ends = lines.filter((line) => line.startsWith('ended'));
    expect(ends.slice(0, 4)).toEqual(
      [0.02, 0.04, 0.08, 0.08].map((delay) => `ended (exit code 3), starting again in ${delay} s`),
    );
    const said = lines.length;
    await sleep(200);
    expect(lines.length).toBe(said);
  });

  test('that does not listen is killed in the end', async () => {
    const deaf = await supervise({
      name: 'deaf',
      start: () => shell("trap '' TERM; while :; do sleep 0.1; done"),
      say: () => undefined,
      backoff,
    });
    const pid = deaf.pid() ?? 0;
    await sleep(100);
    const began = performance.now();
    await deaf.stop(300);
    expect(performance.now() - began).toBeGreaterThan(290);
    expect(await alive(pid)).toBe(false);
  });
});
