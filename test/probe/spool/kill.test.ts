import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeRecord } from '../../../probe/spool/record.ts';
import type { Gap } from '../../../shared/batch.ts';
import { newFolder } from '../deliver/scene.ts';
import { batchesOf, gapsOf, identity, idsOf, spoolScene, stream } from './scene.ts';

/** What a run of children told, over all their deaths. */
interface Told {
  readonly acknowledged: Set<number>;
  readonly batches: Map<number, { readonly hash: string; readonly ids: readonly number[] }>;
  readonly gaps: Gap[];
  readonly faults: string[];
}

const bundle = join(mkdtempSync(join(tmpdir(), 'parallax-append-')), 'child.mjs');
beforeAll(async () => {
  await build({
    entryPoints: [join(import.meta.dirname, 'append-child.ts')],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
});
afterAll(() => rmSync(join(bundle, '..'), { recursive: true }));

const pem = identity.key.export({ type: 'pkcs8', format: 'pem' });
const startChild = (book: string) =>
  spawn(process.execPath, [bundle, book], { stdio: ['pipe', 'pipe', 'inherit'] });

/** Lets a child append for a while and kills it. */
async function killOne(child: ChildProcess, task: object, lifeMs: number): Promise<void> {
  const ended = once(child, 'exit');
  child.stdin?.write(`${JSON.stringify(task)}\n`);
  // Some die while they open.
  if (child.stdout && Math.random() < 0.9) await Promise.race([once(child.stdout, 'data'), ended]);
  await wait(lifeMs);
  child.kill('SIGKILL');
  await ended;
}

function takeIn(line: string, told: Told): void {
  const [kind, first = '', hash = '', ids = ''] = line.split(' ');
  if (kind === 'a') {
    told.acknowledged.add(Number(first));
  } else if (kind === 's') {
    const seq = Number(first);
    const known = told.batches.get(seq);
    if (known && known.hash !== hash) told.faults.push(`${seq} was used twice`);
    if (known) return;
    const numbers = ids === '-' ? [] : ids.split(',').map(Number);
    told.batches.set(seq, { hash, ids: numbers });
    told.gaps.push(...(JSON.parse(line.slice(line.indexOf('['))) as Gap[]));
  } else if (kind === 'e') told.faults.push(line);
}

/** A write that a power cut left half done. */
function tear(dir: string): void {
  const name = Math.random() < 0.5 ? 'sealed' : 'journal';
  const file = readdirSync(dir)
    .filter((each) => each.startsWith(name))
    .sort()
    .at(-1);
  const record = encodeRecord(1, Buffer.alloc(200, 'x'), 1);
  if (file) appendFileSync(join(dir, file), record.subarray(0, Math.floor(Math.random() * record.length)));
}

async function killMany(times: number, maxBytes: number, folder: string): Promise<Told> {
  const { dir, open } = await spoolScene(folder);
  const told: Told = { acknowledged: new Set(), batches: new Map(), gaps: [], faults: [] };
  const book = join(folder, 'book');
  writeFileSync(book, '');
  // Started ahead: to start takes longer than to die.
  const ready = [startChild(book), startChild(book), startChild(book)];
  let read = 0;
  try {
    for (let round = 0; round < times; round += 1) {
      const child = ready.shift() ?? startChild(book);
      ready.push(startChild(book));
      const firstId = round * 100_000 + 1;
      await killOne(child, { dir, stream, pem, firstId, maxBytes }, Math.random() * 60);
      if (Math.random() < 0.2) tear(dir);
      const text = readFileSync(book, 'utf8');
      for (const line of text.slice(read).split('\n')) takeIn(line, told);
      read = text.length;
    }
  } finally {
    for (const child of ready) child.kill('SIGKILL');
  }
  const spool = await open();
  await spool.sealNow();
  const left = await batchesOf(spool);
  for (const batch of left) {
    const known = told.batches.get(batch.seq);
    const ids = idsOf([batch]);
    if (known) expect(ids).toEqual(known.ids);
    else {
      told.batches.set(batch.seq, { hash: '', ids });
      told.gaps.push(...gapsOf([batch]));
    }
  }
  await spool.close();
  return told;
}

describe('a process that writes the spool and is killed again and again', () => {
  test('loses nothing it acknowledged, doubles nothing, and uses no number twice: 200 times', async () => {
    const folder = await newFolder();
    const told = await killMany(200, 16 * 1024 * 1024, folder.path);
    expect(told.faults).toEqual([]);
    expect(told.acknowledged.size).toBeGreaterThan(1000);
    const ids = [...told.batches.values()].flatMap((batch) => batch.ids);
    expect(new Set(ids).size).toBe(ids.length);
    const found = new Set(ids);
    expect([...told.acknowledged].filter((id) => !found.has(id))).toEqual([]);
    expect(told.gaps.filter(({ results }) => results > 0)).toEqual([]);
    await folder.remove();
  }, 240_000);

  test('with a spool too small for it: what is not in a batch is counted in a gap record', async () => {
    const folder = await newFolder();
    const told = await killMany(30, 16 * 1500, folder.path);
    expect(told.faults).toEqual([]);
    const ids = [...told.batches.values()].flatMap((batch) => batch.ids);
    expect(new Set(ids).size).toBe(ids.length);
    const found = new Set(ids);
    const missing = [...told.acknowledged].filter((id) => !found.has(id));
    const counted = told.gaps.reduce((sum, gap) => sum + gap.results, 0);
    expect(missing.length).toBeLessThanOrEqual(counted);
    await folder.remove();
  }, 120_000);
});
