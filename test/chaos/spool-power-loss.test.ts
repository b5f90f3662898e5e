import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from '../harness/imports.ts';
import { until } from '../hub/ingest/until.ts';
import { batchesOf, identity, idsOf, spoolScene, stream } from '../probe/spool/scene.ts';
import { applyPatches, type Patch } from './build/patch.ts';
import { plantedBugs } from './build/planted-bugs.ts';
import { decodeOps } from './power/disk-op.ts';
import { readTree, writeTree } from './power/disk-tree.ts';
import { afterPowerLoss, drawFates, tearWith } from './power/power-loss.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parallax-spool-power-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The spool's own code, with somebody who appends to it until it is killed. */
async function bundleWith(patches: readonly Patch[]): Promise<string> {
  const plugin: Plugin = {
    name: 'patches',
    setup(builder) {
      builder.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const file = path.slice(root.length + 1);
        return { contents: applyPatches(file, await readFile(path, 'utf8'), patches), loader: 'ts' };
      });
    },
  };
  const outfile = join(await mkdtemp(join(folder, 'bundle-')), 'child.mjs');
  await build({
    entryPoints: [join(root, 'test/probe/spool/append-child.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    plugins: [plugin],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  return outfile;
}

const pem = identity.key.export({ type: 'pkcs8', format: 'pem' });

/**
 * Appends until so many results are acknowledged, with the disk recorded, takes the power away in many ways, and counts
 * what nobody finds again.
 */
async function lostAfterPowerLosses(
  bundle: string,
  times: number,
  acknowledgedFirst: number,
): Promise<{ acknowledged: number; lost: number }> {
  const place = await mkdtemp(join(folder, 'run-'));
  const { dir, open } = await spoolScene(place);
  const base = await readTree(dir);
  const [book, log] = [join(place, 'book'), join(place, 'disk.log')];
  await writeFile(book, '');
  const preload = pathToFileURL(join(root, 'test/chaos/preload/record-disk.ts')).href;
  const child = spawn(process.execPath, [bundle, book], {
    env: {
      ...process.env,
      NODE_OPTIONS: `--import=${preload}`,
      PARALLAX_CHAOS_DISK: dir,
      PARALLAX_CHAOS_DISK_LOG: log,
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  child.stdin.write(`${JSON.stringify({ dir, stream, pem, firstId: 1, maxBytes: 16 * 1024 * 1024 })}\n`);
  await once(child.stdout, 'data');
  const acknowledgedSoFar = async () => (await readFile(book, 'utf8')).match(/^a /gm)?.length ?? 0;
  await until(async () => (await acknowledgedSoFar()) >= acknowledgedFirst, 20_000);
  child.kill('SIGKILL');
  await ended;
  const ops = decodeOps(await readFile(log));
  const lines = (await readFile(book, 'utf8')).split('\n').map((line) => line.split(' '));
  const acknowledged = lines.flatMap(([kind, id]) => (kind === 'a' ? [Number(id)] : []));
  const durable = Math.max(0, ...lines.flatMap(([kind, seq]) => (kind === 'd' ? [Number(seq)] : [])));
  // What the hub has may be forgotten here.
  const delivered = lines.flatMap(([kind, seq, , ids = '-']) =>
    kind === 's' && Number(seq) <= durable && ids !== '-' ? ids.split(',').map(Number) : [],
  );
  let lost = 0;
  for (let round = 0; round < times; round += 1) {
    const { fates } = drawFates(Math.random);
    await writeTree(dir, afterPowerLoss(base, ops, fates, tearWith(Math.random)));
    const spool = await open();
    await spool.sealNow();
    const there = new Set([...delivered, ...idsOf(await batchesOf(spool))]);
    lost += acknowledged.filter((id) => !there.has(id)).length;
    await spool.close();
  }
  return { acknowledged: acknowledged.length, lost };
}

describe('a spool whose power is taken away', () => {
  test('loses nothing that it acknowledged', async () => {
    const { acknowledged, lost } = await lostAfterPowerLosses(await bundleWith([]), 25, 4500);
    expect(acknowledged).toBeGreaterThan(200);
    expect(lost).toBe(0);
  });

  test.each(['no-fsync', 'no-folder-fsync'])(
    'does so with the planted bug %s: the seam shows it',
    async (name) => {
      const patches = plantedBugs.find((bug) => bug.name === name)?.patches ?? [];
      // Before the next block of numbers is written down, some 4,000 results on: that syncs the folder besides.
      expect((await lostAfterPowerLosses(await bundleWith(patches), 25, 300)).lost).toBeGreaterThan(0);
    },
  );
});
