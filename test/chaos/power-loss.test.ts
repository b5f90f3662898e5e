import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from '../harness/imports.ts';
import { type DiskOp, decodeOps, encodeOp, type LoggedOp } from './power/disk-op.ts';
import { readTree, writeTree } from './power/disk-tree.ts';
import {
  afterPowerLoss,
  type DiskTree,
  drawFates,
  type Fate,
  stillUnderWay,
  tearWith,
} from './power/power-loss.ts';

const empty: DiskTree = { folders: new Map(), files: new Map() };
const whole = (bytes: Buffer) => bytes;

type Step = DiskOp | [DiskOp, string];

function logOf(...steps: Step[]): LoggedOp[] {
  return steps.map((step, index) => {
    const [what, body] = Array.isArray(step) ? step : [step, ''];
    return { index, atMs: index, what, body: Buffer.from(body) };
  });
}

function left(ops: readonly LoggedOp[], fate: Fate, base = empty, tear = whole): Record<string, string> {
  const { files } = afterPowerLoss(base, ops, () => fate, tear);
  return Object.fromEntries([...files].map(([path, { content }]) => [path, content.toString()]));
}

const holding = (files: Record<string, string>): DiskTree => ({
  folders: new Map(),
  files: new Map(
    Object.entries(files).map(([path, text]) => [path, { content: Buffer.from(text), mode: 0o600 }]),
  ),
});

const create = (path: string, id = path): DiskOp => ({ op: 'create', path, id, mode: 0o600 });
const write = (id: string, text: string, at = 0): Step => [{ op: 'write', id, at }, text];
const sync = (id: string, at: number): DiskOp[] => [
  { op: 'sync-begin', id },
  { op: 'sync-end', id, began: at },
];
const syncFolder = (at: number, path = '.'): DiskOp[] => [
  { op: 'folder-begin', path },
  { op: 'folder-end', path, began: at },
];

describe('a power loss', () => {
  const cases: [name: string, ops: LoggedOp[], lost: Record<string, string>, kept: Record<string, string>][] =
    [
      [
        'takes a new file whose name was never synced, whatever of its data was',
        logOf(create('a'), write('a', 'x'), ...sync('a', 2)),
        {},
        { a: 'x' },
      ],
      [
        'leaves an empty file where only the name was',
        logOf(create('a'), ...syncFolder(1), write('a', 'x')),
        { a: '' },
        { a: 'x' },
      ],
      [
        'leaves what both were synced for',
        logOf(create('a'), ...syncFolder(1), write('a', 'x'), ...sync('a', 4)),
        { a: 'x' },
        { a: 'x' },
      ],
      [
        'takes what was written after the sync began, though before it ended',
        logOf(
          create('a'),
          ...syncFolder(1),
          write('a', 'x'),
          { op: 'sync-begin', id: 'a' },
          write('a', 'y', 1),
          { op: 'sync-end', id: 'a', began: 4 },
        ),
        { a: 'x' },
        { a: 'xy' },
      ],
      [
        'takes what a sync that never ended was asked for',
        logOf(create('a'), ...syncFolder(1), write('a', 'x'), { op: 'sync-begin', id: 'a' }),
        { a: '' },
        { a: 'x' },
      ],
      [
        'leaves the old content of a file that was replaced and whose folder was not synced',
        logOf(
          create('a'),
          write('a', 'old'),
          ...sync('a', 2),
          ...syncFolder(4),
          create('a.new', 'b'),
          write('b', 'new'),
          ...sync('b', 8),
          { op: 'rename', from: 'a.new', path: 'a', id: 'b' },
        ),
        { a: 'old' },
        { a: 'new' },
      ],
      [
        'empties a file that replaced another without a sync of its own',
        logOf(
          create('a'),
          write('a', 'old'),
          ...sync('a', 2),
          ...syncFolder(4),
          create('a.new', 'b'),
          write('b', 'new'),
          { op: 'rename', from: 'a.new', path: 'a', id: 'b' },
          ...syncFolder(9),
        ),
        { a: '' },
        { a: 'new' },
      ],
      [
        'brings back what was removed',
        logOf(create('a'), write('a', 'x'), ...sync('a', 2), ...syncFolder(4), {
          op: 'unlink',
          path: 'a',
          id: 'a',
        }),
        { a: 'x' },
        {},
      ],
      [
        'takes all in a folder whose own name was not synced',
        logOf(
          { op: 'mkdir', path: 'd', mode: 0o700 },
          create('d/a'),
          write('d/a', 'x'),
          ...sync('d/a', 3),
          ...syncFolder(5, 'd'),
        ),
        {},
        { 'd/a': 'x' },
      ],
      [
        'takes a second name without a sync',
        logOf(create('a'), ...syncFolder(1), { op: 'link', path: 'b', id: 'a' }),
        { a: '' },
        { a: '', b: '' },
      ],
      [
        'takes back a truncation',
        logOf(create('a'), ...syncFolder(1), write('a', 'long'), ...sync('a', 4), {
          op: 'truncate',
          id: 'a',
          size: 1,
        }),
        { a: 'long' },
        { a: 'l' },
      ],
    ];
  test.each(cases)('%s', (_, ops, lost, kept) => {
    expect(left(ops, 'lost')).toEqual(lost);
    expect(left(ops, 'kept')).toEqual(kept);
  });

  test('leaves what was there before, changed only as it may be', () => {
    const base = holding({ a: 'old', b: 'still' });
    const ops = logOf(write('a', 'X', 3));
    expect(left(ops, 'lost', base)).toEqual({ a: 'old', b: 'still' });
    expect(left(ops, 'kept', base)).toEqual({ a: 'oldX', b: 'still' });
    expect(left(ops, 'torn', base, () => Buffer.from('\0'))).toEqual({ a: 'old\0', b: 'still' });
  });

  test('renames whole or not at all', () => {
    const ops = logOf(create('b'), write('b', 'new'), ...sync('b', 2), {
      op: 'rename',
      from: 'b',
      path: 'a',
      id: 'b',
    });
    for (const fate of ['kept', 'lost', 'torn'] as const) {
      const { files } = afterPowerLoss(holding({ a: 'old' }), ops, () => fate, whole);
      expect(['old', 'new']).toContain(files.get('a')?.content.toString());
    }
  });

  test('of what cannot be followed says nothing', () => {
    expect(() => left(logOf({ op: 'unknown', call: 'fs.x' }), 'lost')).toThrow(/fs\.x/);
  });

  test('excuses what a sync was under way for and what was just written, nothing older', () => {
    const ops = logOf(
      create('a'),
      write('a', 'x'),
      { op: 'sync-begin', id: 'a' },
      write('b', 'y'),
      write('a', 'z', 1),
    );
    const under = stillUnderWay(ops, 100, 10);
    expect(ops.map(under)).toEqual([false, true, false, false, false]);
    expect(ops.map(stillUnderWay(ops, 5, 2))).toEqual([false, true, false, true, true]);
  });

  test('never takes what is confirmed, whatever is drawn', () => {
    const ops = logOf(
      create('a'),
      ...syncFolder(1),
      write('a', 'safe'),
      ...sync('a', 4),
      write('a', 'not yet', 4),
    );
    for (let round = 0; round < 300; round += 1) {
      const { fates } = drawFates(Math.random);
      const { files } = afterPowerLoss(empty, ops, fates, tearWith(Math.random));
      expect(files.get('a')?.content.subarray(0, 4).toString()).toBe('safe');
    }
  });
});

describe('the recorder', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parallax-record-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** Runs the script in a process whose disk is recorded; `$` is the watched folder. */
  async function record(script: string): Promise<{ ops: LoggedOp[]; base: DiskTree; now: DiskTree }> {
    const watched = await mkdtemp(join(folder, 'watched-'));
    await writeFile(join(watched, 'before'), 'was here');
    await mkdir(join(watched, 'folder'));
    const base = await readTree(watched);
    const log = `${watched}.log`;
    const preload = pathToFileURL(join(root, 'test/chaos/preload/record-disk.ts')).href;
    const env = {
      ...process.env,
      NODE_OPTIONS: `--import=${preload}`,
      PARALLAX_CHAOS_DISK: watched,
      PARALLAX_CHAOS_DISK_LOG: log,
    };
    const text = `import { open, rename, rm, link, unlink, mkdir, truncate, writeFile } from 'node:fs/promises';
      import * as fs from 'node:fs'; import { join } from 'node:path'; const at = (name) => join(${JSON.stringify(watched)}, name);
      ${script}`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', text], {
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    return { ops: decodeOps(await readFile(log)), base, now: await readTree(watched) };
  }

  const scripts: [name: string, script: string][] = [
    [
      'segments',
      "const a = await open(at('a'), 'wx', 0o600); await a.writeFile(Buffer.from('one')); await a.datasync(); await a.writeFile('two'); await a.close();",
    ],
    [
      'drafts',
      "const a = await open(at('a.new'), 'w', 0o600); await a.writeFile('x'); await a.sync(); await a.close(); await rename(at('a.new'), at('a'));",
    ],
    [
      'old files',
      "const a = await open(at('before'), 'r+'); await a.truncate(3); await a.write(Buffer.from('XYZ'), 1, 1, 0); await a.close(); await truncate(at('before'), 2);",
    ],
    [
      'appends',
      "const a = await open(at('before'), 'a'); await a.writeFile('!'); await a.write(Buffer.from('?')); await a.close();",
    ],
    [
      'removals',
      "await writeFile(at('folder/b'), 'b'); await link(at('folder/b'), at('c')); await unlink(at('c')); await rm(at('folder'), { recursive: true, force: true }); await rm(at('none'), { force: true });",
    ],
    [
      'folders',
      "await mkdir(at('new'), { mode: 0o700 }); await writeFile(at('new/x'), 'x', { mode: 0o640 }); await writeFile(at('new/x'), 'yy');",
    ],
    [
      'names that are used again',
      "await writeFile(at('a'), '1'); await rename(at('a'), at('b')); await writeFile(at('a'), '2'); await rm(at('b')); await writeFile(at('b'), '3');",
    ],
  ];
  test.each(scripts)('follows %s: with all kept it tells exactly what is there', async (_, script) => {
    const { ops, base, now } = await record(script);
    const told = afterPowerLoss(base, ops, () => 'kept', whole);
    expect(new Map([...told.files].sort())).toEqual(new Map([...now.files].sort()));
    expect([...told.folders.keys()].sort()).toEqual([...now.folders.keys()].sort());
  });

  test('knows what a sync has made safe', async () => {
    const { ops, base } = await record(
      `const dir = await open(at('.'), 'r'); const a = await open(at('a'), 'wx'); await dir.sync();
       await a.writeFile('safe'); await a.datasync(); await a.writeFile('gone'); await writeFile(at('b'), 'b');`,
    );
    expect(left(ops, 'lost', base)).toEqual({ a: 'safe', before: 'was here' });
  });

  test.each([
    ["fs.writeFileSync(at('a'), 'x')"],
    ["fs.rmSync(at('before'))"],
    ["await fs.promises.cp(at('before'), at('b'))"],
    ["const a = await open(at('a'), 'w'); await a.appendFile('x'); await a.close();"],
    ["await new Promise((done) => fs.rename(at('before'), at('b'), done))"],
  ])('is not blind in silence: %s', async (script) => {
    const { ops } = await record(script);
    expect(ops.some(({ what }) => what.op === 'unknown')).toBe(true);
  });

  test('leaves alone what lies elsewhere and what is only read', async () => {
    const { ops } = await record(
      `fs.readFileSync(at('before')); const a = await open(at('before')); await a.readFile(); await a.close();
       fs.writeFileSync(${JSON.stringify(join(folder, 'elsewhere'))}, 'x');`,
    );
    expect(ops).toEqual([]);
  });
});

describe('a log of the disk', () => {
  test('that was cut off loses its last entry only', () => {
    const one = encodeOp(create('a'), 1.5);
    const two = encodeOp({ op: 'write', id: 'a', at: 0 }, 2, Buffer.from('body'));
    const log = Buffer.concat([one, two]);
    expect(decodeOps(log).map(({ what, body }) => [what.op, body.toString()])).toEqual([
      ['create', ''],
      ['write', 'body'],
    ]);
    for (let end = one.length; end < log.length; end += 1) {
      expect(decodeOps(log.subarray(0, end)).length).toBe(1);
    }
  });
});

describe('a folder', () => {
  test('comes back as it was read, and what was linked from it keeps its own', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'parallax-tree-'));
    try {
      await mkdir(join(folder, 'a/b'), { recursive: true, mode: 0o700 });
      await writeFile(join(folder, 'a/b/c'), 'x', { mode: 0o600 });
      const tree = await readTree(folder);
      await writeFile(join(folder, 'new'), 'n');
      await writeTree(folder, tree);
      expect(await readTree(folder)).toEqual(tree);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
