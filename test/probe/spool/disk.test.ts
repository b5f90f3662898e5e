import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Spool } from '../../../probe/spool/spool.ts';
import { until } from '../../hub/ingest/until.ts';
import { batchesOf, gapsOf, idsOf, resultOf, type SpoolScene, spoolScene, stream } from './scene.ts';
import { smallDisk } from './small-disk.ts';

const disk = smallDisk(512);
afterAll(() => disk?.remove());

describe.skipIf(!disk)('a spool on a disk that takes nothing', () => {
  let scene: SpoolScene;
  let spool: Spool;
  let lines: { level: number; msg: string }[];
  let id: number;
  const path = disk?.path ?? '';
  const ballast = join(path, 'ballast');

  beforeEach(async () => {
    id = 0;
    lines = [];
    scene = await spoolScene(path);
  });
  afterEach(async () => {
    disk?.readOnly(false);
    await spool.close();
    rmSync(join(path, stream), { recursive: true });
    rmSync(ballast, { force: true });
  });

  async function open(maxWaiting = 1000): Promise<Spool> {
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const limits = { maxBytes: 1024 ** 3, maxAgeUs: 1e15, maxWaiting, syncMs: 0 };
    const opened = await scene.open({ log, limits });
    opened.setPace({ leaseVersion: 1, lingerMs: 20, urgentMs: 5 });
    return opened;
  }
  function add(count: number): Promise<unknown> {
    return Promise.all(
      Array.from({ length: count }, () => {
        id += 1;
        return spool.add(resultOf(id), false);
      }),
    );
  }
  function fill(): void {
    // In pieces: the first write that does not fit whole still takes what there is.
    for (let left = statfsSync(path).bavail; left > 0; left = statfsSync(path).bavail) {
      writeFileSync(ballast, Buffer.alloc(left * 4096), { flag: 'a' });
    }
  }
  const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);
  const said = (level: number) => lines.filter((line) => line.level === level).map(({ msg }) => msg);

  const refusals: [name: string, refuse: () => void, allow: () => void, words: string][] = [
    ['full', fill, () => rmSync(ballast), 'the disk is full: free some space'],
    ['read-only', () => disk?.readOnly(true), () => disk?.readOnly(false), 'the disk is read-only'],
  ];

  test.each(refusals)(
    '%s: keeps results in memory, says so in one line, and goes on by itself',
    async (...row) => {
      const [, refuse, allow, words] = row;
      spool = await open();
      await add(10);
      await until(() => spool.status().waiting === 0);
      // No disk becomes read-only under a file that is open for writing.
      await spool.close();
      spool = await open();
      refuse();
      const adding = add(400);
      await until(() => spool.status().trouble !== null);
      expect(spool.status().trouble).toContain(words);
      expect(spool.status().waiting).toBe(400);
      allow();
      await adding;
      await until(() => spool.status().waiting === 0, 20_000);
      expect(spool.status()).toMatchObject({ trouble: null, dropped: 0 });
      expect(idsOf(await batchesOf(spool))).toEqual(upTo(410));
      expect(gapsOf(await batchesOf(spool))).toEqual([]);
      expect(said(50)).toEqual([expect.stringContaining(words)]);
      expect(said(30)).toContain('the spool takes results again');
    },
  );

  test('read-only from the start: refuses to open, and has everything afterwards', async () => {
    spool = await open();
    await add(10);
    await spool.close();
    disk?.readOnly(true);
    await expect(open()).rejects.toMatchObject({ code: 'EROFS' });
    disk?.readOnly(false);
    spool = await open();
    expect(idsOf(await batchesOf(spool))).toEqual(upTo(10));
  });

  test('full for long: memory stays bounded, what it drops is counted in a gap record, every add ends', async () => {
    spool = await open(1000);
    await add(10);
    await until(() => spool.status().waiting === 0);
    fill();
    const adding = add(5000);
    await until(() => spool.status().trouble !== null);
    expect(spool.status().waiting).toBeLessThanOrEqual(1500);
    rmSync(ballast);
    await adding;
    await until(() => spool.status().waiting === 0, 20_000);
    const batches = await batchesOf(spool);
    const { dropped } = spool.status();
    expect(dropped).toBeGreaterThan(3000);
    expect(gapsOf(batches).reduce((sum, { results }) => sum + results, 0)).toBe(dropped);
    expect(new Set(idsOf(batches)).size + dropped).toBe(5010);
    expect(gapsOf(batches)[0]?.reason).toBe('memory full');
    // After a restart the same is there.
    await spool.close();
    spool = await open();
    expect(idsOf(await batchesOf(spool))).toEqual(idsOf(batches));
    expect(spool.status().dropped).toBe(dropped);
  });

  test('full of what the hub has by now: its removal makes the room', async () => {
    spool = await open();
    for (let round = 0; round < 6; round += 1) {
      await add(500);
      await until(() => spool.status().waiting === 0);
    }
    await spool.close();
    spool = await open();
    fill();
    const adding = add(200);
    await until(() => spool.status().trouble !== null);
    spool.durableTo(6);
    await adding;
    await until(() => spool.status().waiting === 0, 20_000);
    expect(idsOf(await batchesOf(spool)).sort((a, b) => a - b)).toEqual(upTo(3200).slice(3000));
    expect(spool.status().trouble).toBeNull();
  });
});
