import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readHead } from '../../../probe/spool/head-file.ts';
import type { Spool } from '../../../probe/spool/spool.ts';
import { verifyBytes } from '../../../shared/signing.ts';
import { until } from '../../hub/ingest/until.ts';
import { newFolder } from '../deliver/scene.ts';
import {
  batchesOf,
  gapsOf,
  identity,
  idsOf,
  resultOf,
  type SpoolScene,
  spoolScene,
  testKey,
} from './scene.ts';

let folder: Awaited<ReturnType<typeof newFolder>>;
let scene: SpoolScene;
let spool: Spool;
let id = 0;

beforeEach(async () => {
  folder = await newFolder();
  scene = await spoolScene(folder.path);
  id = 0;
});
afterEach(async () => {
  await spool.close();
  await folder.remove();
});

async function add(count: number, over: Parameters<typeof resultOf>[1] = {}): Promise<void> {
  const all = Array.from({ length: count }, () => {
    id += 1;
    return spool.add(resultOf(id, over), false);
  });
  await Promise.all(all);
}
async function addSealed(count: number, over: Parameters<typeof resultOf>[1] = {}): Promise<void> {
  await add(count, over);
  await spool.sealNow();
}
const upTo = (last: number, first = 1) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);
const files = (name: string) =>
  readdirSync(scene.dir)
    .filter((file) => file.startsWith(name))
    .sort()
    .map((file) => join(scene.dir, file));
/** As a process leaves it that was killed: nothing sealed, nothing said. */
function abandon(): void {
  spool.setPace({ leaseVersion: 1, lingerMs: 1e9, urgentMs: 1e9 });
}
/** Changes one byte of a file. */
function spoil(path: string, at: number): void {
  const bytes = readFileSync(path);
  const index = at < 0 ? bytes.length + at : at;
  bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index);
  writeFileSync(path, bytes);
}

describe('a spool', () => {
  test('seals what it acknowledged, in order, into signed batches that count from 1', async () => {
    spool = await scene.open();
    spool.setPace({ leaseVersion: 42, lingerMs: 20, urgentMs: 5 });
    await add(1201);
    await until(() => spool.status().waiting === 0);
    const batches = await batchesOf(spool);
    expect(idsOf(batches)).toEqual(upTo(1201));
    expect(batches.map(({ seq, results }) => [seq, results.length])).toEqual([
      [1, 500],
      [2, 500],
      [3, 201],
    ]);
    expect(batches[0]).toMatchObject({ probeId: 7, regionId: 3, leaseVersion: 42, gaps: [] });
    const first = await spool.read(1);
    expect(first?.headers.kid).toBe(identity.kid);
    expect(first && verifyBytes(testKey, first.value, first.headers.sig)).toBe(true);
  });

  test('an outcome that changed is sealed at once, what waits with it', async () => {
    spool = await scene.open();
    spool.setPace({ leaseVersion: 1, lingerMs: 60_000, urgentMs: 30 });
    await add(3);
    const beganMs = performance.now();
    await spool.add(resultOf(99), true);
    await until(() => scene.sealed.length === 1);
    expect(performance.now() - beganMs).toBeLessThan(1000);
    expect(idsOf(await batchesOf(spool))).toEqual([1, 2, 3, 99]);
  });

  test('goes on after a restart: the same bytes under the same numbers, then the next', async () => {
    spool = await scene.open();
    await addSealed(10);
    await add(5);
    const before = await spool.read(1);
    abandon();
    spool = await scene.open();
    expect(spool.found()).toEqual([[1, 1]]);
    expect(await spool.read(1)).toEqual(before);
    await addSealed(1);
    expect(idsOf(await batchesOf(spool))).toEqual(upTo(16));
  });

  test('forgets what is durable, and only that, over restarts', async () => {
    spool = await scene.open({
      limits: { maxBytes: 16 * 2000, maxAgeUs: 1e15, maxWaiting: 1000, syncMs: 0 },
    });
    for (let round = 0; round < 20; round += 1) await addSealed(20);
    const segments = files('sealed').length;
    expect(segments).toBeGreaterThan(5);
    spool.durableTo(10);
    await until(() => files('sealed').length < segments);
    expect((await batchesOf(spool)).map(({ seq }) => seq)).toEqual(upTo(20, 11));
    await spool.close();
    spool = await scene.open();
    await addSealed(1);
    const batches = await batchesOf(spool);
    expect(batches.map(({ seq }) => seq)).toEqual(upTo(21, 11));
    expect(gapsOf(batches)).toEqual([]);
    spool.durableTo(21);
    await until(() => files('sealed').length <= 1);
    expect(spool.status().dropped).toBe(0);
  });

  test('what it forgot is not missed by a process that starts after a kill', async () => {
    spool = await scene.open({
      limits: { maxBytes: 16 * 2000, maxAgeUs: 1e15, maxWaiting: 1000, syncMs: 0 },
    });
    for (let round = 0; round < 20; round += 1) await addSealed(20);
    const segments = files('sealed').length;
    spool.durableTo(10);
    // All of it: what is abandoned here goes on, as no killed process does, and would remove what the next one reads.
    await spool.sealNow();
    expect(files('sealed').length).toBeLessThan(segments);
    abandon();
    spool = await scene.open();
    await addSealed(1);
    expect(gapsOf(await batchesOf(spool))).toEqual([]);
  });

  test('results that do not fit in one batch take two, and one that fits in none keeps no other', async () => {
    spool = await scene.open();
    const message = () =>
      Array.from({ length: 3000 }, () => String.fromCharCode(33 + Math.random() * 90)).join('');
    for (let count = 0; count < 300; count += 1) {
      id += 1;
      const failure = { code: 'connect.refused' as const, source: 'target' as const, message: message() };
      void spool.add(resultOf(id, { outcome: 'down', failure }), false);
    }
    const broken = spool.add(resultOf(1000, { bytes: Number.NaN }), false);
    await spool.add(resultOf(301), false);
    await broken;
    await spool.sealNow();
    const batches = await batchesOf(spool);
    expect(idsOf(batches)).toEqual(upTo(301));
    expect(batches.length).toBeGreaterThan(3);
    expect(gapsOf(batches)).toMatchObject([{ results: 1, reason: 'result not encodable' }]);
    expect(spool.status().dropped).toBe(1);
  });
});

describe('a spool that is full', () => {
  const limits = { maxBytes: 16 * 2000, maxAgeUs: 1e15, maxWaiting: 1000, syncMs: 0 };

  test('drops its oldest batches and says in a signed gap record what they were', async () => {
    spool = await scene.open({ limits });
    for (let round = 0; round < 80; round += 1) await addSealed(20);
    await addSealed(1);
    expect(spool.status().bytes).toBeLessThan(limits.maxBytes * 1.3);
    const batches = await batchesOf(spool);
    const found = idsOf(batches);
    const gaps = gapsOf(batches);
    const { dropped } = spool.status();
    expect(dropped).toBeGreaterThan(200);
    expect(found).toEqual(upTo(1601, dropped + 1));
    const newest = gaps.at(-1);
    expect(gaps.reduce((sum, gap) => sum + gap.results, 0)).toBe(dropped);
    expect(gaps[0]).toMatchObject({
      fromSeq: 1,
      fromScheduledAt: resultOf(1).scheduledAt,
      reason: 'spool full',
    });
    expect(newest?.toScheduledAt).toBe(resultOf(dropped).scheduledAt);
    expect(scene.droppedRanges[0]?.[0]).toBe(1);
  });

  test('says it once, also over restarts', async () => {
    for (let round = 0; round < 5; round += 1) {
      spool = await scene.open({ limits });
      for (let batch = 0; batch < 20; batch += 1) await addSealed(20);
      await spool.close();
    }
    spool = await scene.open({ limits });
    await addSealed(1);
    const batches = await batchesOf(spool);
    const { dropped } = spool.status();
    expect(idsOf(batches)).toEqual(upTo(2001, dropped + 1));
    expect(gapsOf(batches).reduce((sum, gap) => sum + gap.results, 0)).toBe(dropped);
  });

  test('a kill right after it dropped something does not silence it', async () => {
    const never = { maxBytes: 16 * 1500, maxAgeUs: 1e15, maxWaiting: 100_000, syncMs: 1e9 };
    spool = await scene.open({ limits: never });
    abandon();
    // Full batches are sealed without delay; what else waits is neither sealed nor synced by time.
    await add(500 * 30);
    await until(() => scene.droppedRanges.length > 3 && spool.status().bytes < never.maxBytes * 1.3);
    // What is abandoned here goes on, as no killed process does: until it has nothing more to remove.
    let [seen, since] = ['', performance.now()];
    await until(() => {
      const now = files('').join();
      if (now !== seen) [seen, since] = [now, performance.now()];
      return performance.now() - since > 250;
    });
    spool = await scene.open({ limits });
    await addSealed(1);
    const batches = await batchesOf(spool);
    const counted = gapsOf(batches).reduce((sum, gap) => sum + gap.results, 0);
    expect(gapsOf(batches).map(({ reason }) => reason)).toEqual(['spool full']);
    expect(idsOf(batches)).toEqual(upTo(15_001, counted + 1));
  });

  test('drops what is too old for the hub to take', async () => {
    let now = 1_800_000_000_000_000;
    spool = await scene.open({ now: () => now });
    await addSealed(10);
    await spool.close();
    now += 6 * 86_400 * 1_000_000 + 1;
    spool = await scene.open({ now: () => now });
    await addSealed(1);
    await until(async () => gapsOf(await batchesOf(spool)).length > 0 || spool.status().waiting > 0);
    await addSealed(1);
    const batches = await batchesOf(spool);
    expect(gapsOf(batches)).toMatchObject([{ fromSeq: 1, toSeq: 1, results: 10, reason: 'spool too old' }]);
    expect(idsOf(batches)).toEqual([11, 12]);
  });

  test('a batch given up leaves a gap where it stood, and the others', async () => {
    spool = await scene.open();
    await addSealed(3);
    await addSealed(4);
    await addSealed(5);
    await spool.drop(2, 'refused by the hub');
    await addSealed(1);
    expect(await spool.read(2)).toBeNull();
    const batches = await batchesOf(spool);
    expect(batches.map(({ seq }) => seq)).toEqual([1, 3, 4]);
    expect(gapsOf(batches)).toMatchObject([
      { fromSeq: 2, toSeq: 2, results: 4, reason: 'refused by the hub' },
    ]);
    await spool.close();
    spool = await scene.open();
    expect(spool.found()).toEqual([
      [1, 1],
      [3, 4],
    ]);
  });
});

describe('a damaged spool', () => {
  test('a torn end of the journal loses nothing that was acknowledged', async () => {
    spool = await scene.open();
    await add(5);
    const [journal = ''] = files('journal');
    writeFileSync(
      journal,
      Buffer.concat([readFileSync(journal), Buffer.from([0xf5, 0xff, 0x50, 0xfe, 1, 0, 0])]),
    );
    abandon();
    spool = await scene.open();
    await addSealed(1);
    expect(idsOf(await batchesOf(spool))).toEqual(upTo(6));
    expect(gapsOf(await batchesOf(spool))).toEqual([]);
  });

  test('a spoilt result in the middle of the journal is a gap', async () => {
    spool = await scene.open();
    for (let count = 0; count < 5; count += 1) await add(1);
    const [journal = ''] = files('journal');
    spoil(journal, Math.floor(statSync(journal).size / 2));
    abandon();
    spool = await scene.open();
    await addSealed(1);
    const batches = await batchesOf(spool);
    expect(idsOf(batches)).toEqual([1, 2, 4, 5, 6]);
    expect(gapsOf(batches)).toMatchObject([{ results: 1, reason: 'spool damaged' }]);
  });

  test('a spoilt batch in the middle is a gap with its number and its results', async () => {
    spool = await scene.open();
    for (let round = 0; round < 4; round += 1) await addSealed(10);
    const [sealed = ''] = files('sealed');
    spoil(sealed, Math.floor(statSync(sealed).size * 0.4));
    abandon();
    spool = await scene.open();
    expect(spool.found()).toEqual([
      [1, 1],
      [3, 4],
    ]);
    await addSealed(1);
    const batches = await batchesOf(spool);
    expect(gapsOf(batches)).toMatchObject([{ fromSeq: 2, toSeq: 2, results: 10, reason: 'spool damaged' }]);
    expect(spool.status().dropped).toBe(10);
  });

  test('the last batch spoilt: its number, which may have been sent, is never used again', async () => {
    spool = await scene.open();
    await addSealed(10);
    await addSealed(10);
    const [sealed = ''] = files('sealed');
    spoil(sealed, -5);
    abandon();
    spool = await scene.open();
    await addSealed(1);
    const batches = await batchesOf(spool);
    const [first, next] = batches;
    expect(first?.seq).toBe(1);
    expect(next?.seq).toBeGreaterThan(2);
    expect(next?.gaps).toMatchObject([{ fromSeq: 2, reason: 'numbers not used' }]);
    expect((next?.gaps[0]?.toSeq ?? 0) + 1).toBe(next?.seq);
  });

  test('all batches gone: numbers go on after what the head file reserved', async () => {
    spool = await scene.open();
    await addSealed(10);
    await addSealed(10);
    const reserved = (await readHead(scene.dir))?.reservedTo ?? 0;
    expect(reserved).toBeGreaterThanOrEqual(2);
    for (const file of files('sealed')) truncateSync(file, 3);
    abandon();
    spool = await scene.open();
    await addSealed(1);
    expect((await batchesOf(spool)).map(({ seq }) => seq)).toEqual([reserved + 1]);
  });

  test('the head unreadable: what it holds is kept, its numbers are left far behind', async () => {
    spool = await scene.open();
    await addSealed(10);
    await add(5);
    writeFileSync(join(scene.dir, 'head.json'), 'not a head');
    abandon();
    spool = await scene.open();
    expect((await readHead(scene.dir))?.closed).toBe(true);
    await spool.sealNow();
    const one = await spool.read(1);
    expect(one).not.toBeNull();
    const last = await spool.read(spool.status().lastSeq);
    expect(last).not.toBeNull();
    expect(spool.status().lastSeq).toBeGreaterThan(2 ** 20);
  });

  test('a batch spoilt while it waits is a gap, not silence', async () => {
    const limits = { maxBytes: 16 * 2000, maxAgeUs: 1e15, maxWaiting: 1000, syncMs: 0 };
    spool = await scene.open({ limits });
    for (let round = 0; round < 8; round += 1) await addSealed(20);
    await spool.close();
    spool = await scene.open({ limits });
    const [sealed = ''] = files('sealed');
    spoil(sealed, 200);
    expect(await spool.read(1)).toBeNull();
    await addSealed(1);
    expect(gapsOf(await batchesOf(spool))).toMatchObject([{ fromSeq: 1, toSeq: 1, reason: 'spool damaged' }]);
  });

  test('a segment lost whole is a gap', async () => {
    const limits = { maxBytes: 16 * 2000, maxAgeUs: 1e15, maxWaiting: 1000, syncMs: 0 };
    spool = await scene.open({ limits });
    for (let round = 0; round < 12; round += 1) await addSealed(20);
    await spool.close();
    const [, second = ''] = files('sealed');
    unlinkSync(second);
    spool = await scene.open({ limits });
    await addSealed(1);
    const batches = await batchesOf(spool);
    const [gap] = gapsOf(batches);
    expect(gap).toMatchObject({ reason: 'spool damaged' });
    expect(idsOf(batches).length + (gap?.results ?? 0)).toBe(241);
  });

  /** Reads of it fail with EIO, as of a file on a bad sector. */
  const unreadable = '/proc/self/mem';
  describe.skipIf(!existsSync(unreadable))('on a disk that cannot read a file any more', () => {
    const limits = { maxBytes: 16 * 2000, maxAgeUs: 1e15, maxWaiting: 1000, syncMs: 0 };
    beforeEach(async () => {
      spool = await scene.open({ limits });
      for (let round = 0; round < 12; round += 1) await addSealed(20);
      await spool.close();
    });
    const replace = (file: string) => {
      unlinkSync(file);
      symlinkSync(unreadable, file);
    };

    test('starts, keeps the rest, and says in a gap record what is lost', async () => {
      replace(files('sealed')[1] ?? '');
      spool = await scene.open({ limits });
      await addSealed(1);
      const batches = await batchesOf(spool);
      const [gap] = gapsOf(batches);
      expect(gap).toMatchObject({ reason: 'spool damaged' });
      expect(idsOf(batches).length + (gap?.results ?? 0)).toBe(241);
    });

    test('goes on where it happens while batches wait', async () => {
      spool = await scene.open({ limits });
      replace(files('sealed')[0] ?? '');
      expect(await spool.read(1)).toBeNull();
      await addSealed(1);
      expect(gapsOf(await batchesOf(spool))).toMatchObject([{ fromSeq: 1, reason: 'spool damaged' }]);
    });

    test('takes a head that cannot be read for one that is spoilt', async () => {
      replace(join(scene.dir, 'head.json'));
      spool = await scene.open({ limits });
      expect(await spool.read(1)).not.toBeNull();
      expect((await readHead(scene.dir))?.closed).toBe(true);
    });
  });
});
