import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from '../harness/imports.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parallax-preload-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What the script prints, as JSON, in a process with this preload. */
async function run(preload: string, env: Record<string, string>, script: string): Promise<unknown> {
  const href = pathToFileURL(join(root, `test/chaos/preload/${preload}.ts`)).href;
  const file = join(await mkdtemp(join(folder, 'script-')), 'script.mjs');
  await writeFile(file, script);
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, ...env, NODE_OPTIONS: `--import=${href}` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  expect(await once(child, 'close')).toEqual([0, null]);
  return JSON.parse(printed);
}

describe('a shifted clock', () => {
  const hour = 3_600_000;
  test('is wrong in every way that it can be asked, in worker threads too, and the steady one is right', async () => {
    const file = join(folder, 'clock');
    await writeFile(file, JSON.stringify({ offsetMs: -hour, driftPpm: 0, sinceMs: 0 }));
    const inWorker = join(folder, 'worker.cjs');
    await writeFile(inWorker, "require('node:worker_threads').parentPort.postMessage(Date.now())");
    const script = `
      import { Worker } from 'node:worker_threads';
      const worker = new Worker(${JSON.stringify(inWorker)});
      const inWorker = await new Promise((done) => worker.once('message', done));
      console.log(JSON.stringify({
        now: Date.now(), made: new Date().getTime(), text: Date.parse(Date()), inWorker,
        steady: performance.timeOrigin + performance.now(), given: new Date(5).getTime(), parts: new Date(1970, 0).getFullYear(),
        utc: Date.UTC(1970, 0), is: new Date() instanceof Date, length: Date.length,
      }));`;
    const told = (await run('shift-clock', { PARALLAX_CHAOS_CLOCK: file }, script)) as Record<string, number>;
    for (const name of ['now', 'made', 'text', 'inWorker']) {
      expect(Math.abs((told[name] ?? 0) + hour - (told.steady ?? 0))).toBeLessThan(10_000);
    }
    expect(told).toMatchObject({ given: 5, parts: 1970, utc: 0, is: true, length: 7 });
  });

  test('follows its file, and drifts', async () => {
    const file = join(folder, 'moving');
    const script = `
      import { writeFileSync } from 'node:fs';
      const asIs = Date.now();
      writeFileSync(${JSON.stringify(file)}, JSON.stringify({ offsetMs: ${hour}, driftPpm: 500_000, sinceMs: asIs - 1000 }));
      await new Promise((done) => setTimeout(done, 300));
      console.log(JSON.stringify(Date.now() - asIs));`;
    const moved = (await run('shift-clock', { PARALLAX_CHAOS_CLOCK: file }, script)) as number;
    // 300 ms, an hour, and half of 1300 ms.
    expect(moved).toBeGreaterThanOrEqual(hour + 900);
    expect(moved).toBeLessThan(hour + 10_000);
  });
});

describe('a disk filled', () => {
  test('refuses what is written while it is full, keeps a part of it, and takes all again', async () => {
    const [flag, file] = [join(folder, 'full-now'), join(folder, 'data')];
    const script = `
      import { open, readFile, rm, writeFile } from 'node:fs/promises';
      import { writeFileSync } from 'node:fs';
      const [flag, file] = ${JSON.stringify([flag, file])};
      const handle = await open(file, 'wx');
      await handle.writeFile('before');
      writeFileSync(flag, '');
      const codes = [];
      for (let at = 0; at < 20; at += 1) await handle.writeFile('while').catch((error) => codes.push(error.code));
      await handle.datasync();
      const opened = [];
      for (let at = 0; at < 20; at += 1) await open(file + at, 'w').then((one) => one.close(), (error) => opened.push(error.code));
      await rm(file + 0, { force: true });
      const there = await readFile(file, 'utf8');
      await rm(flag);
      await handle.writeFile('after');
      console.log(JSON.stringify({ codes, opened, there, end: (await readFile(file, 'utf8')).slice(-5) }));`;
    const env = { PARALLAX_CHAOS_FULL: folder, PARALLAX_CHAOS_FULL_WHILE: flag };
    const told = (await run('fill-disk', env, script)) as Record<string, unknown>;
    expect(told.codes).toEqual(Array.from({ length: 20 }, () => 'ENOSPC'));
    expect(new Set(told.opened as string[])).toEqual(new Set(['ENOSPC']));
    expect((told.opened as string[]).length).toBeLessThan(20);
    expect(told.there).toMatch(/^before[while]+$/);
    expect((told.there as string).length).toBeLessThan(6 + 100);
    expect(told.end).toBe('after');
    expect(await readFile(file, 'utf8')).toMatch(/^before/);
  });
});
