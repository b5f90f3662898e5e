import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../harness/imports.ts';
import { crashFolderVariable, statementsOf } from './build/crash-point.ts';
import { crashPointPatches, crashPoints } from './build/crash-points.ts';
import { applyPatches, buildPatched, checkPatches, type Patch } from './build/patch.ts';
import { plantedBugs } from './build/planted-bugs.ts';
import { faultNamed } from './faults/all.ts';

const one = (find: string, over: Partial<Patch> = {}): Patch => ({
  file: 'a.ts',
  find,
  replace: 'new',
  ...over,
});

describe('a patch', () => {
  test('changes its one place, whatever its replacement holds', () => {
    expect(applyPatches('a.ts', 'x old y', [one('old', { replace: '$& $1' })])).toBe('x $& $1 y');
    expect(applyPatches('b.ts', 'x old y', [one('old')])).toBe('x old y');
  });

  test.each([['gone'], ['old']])('that is not sure of its place fails the build: %s', (find) => {
    expect(() => applyPatches('a.ts', 'old and old', [one(find)])).toThrow(/wanted once/);
  });

  test('brings its imports, each once', () => {
    const patches = [one('old', { prelude: 'import x;' }), one('and', { prelude: 'import x;' })];
    expect(applyPatches('a.ts', 'old and', patches)).toBe('import x;\nnew new');
  });
});

describe('the sources as they are', () => {
  test('take all crash points', async () => {
    await checkPatches(crashPointPatches);
    const replaced = crashPointPatches.map((patch) => patch.replace).join('\n');
    for (const point of crashPoints) expect(replaced).toMatch(new RegExp(`crashPoint\\(["']${point}["']\\)`));
  });

  test.each(plantedBugs.map((bug) => [bug.name, bug] as const))('take the planted bug %s', async (_, bug) => {
    await checkPatches([...crashPointPatches, ...bug.patches]);
    for (const fault of bug.faults) expect(faultNamed(fault).name).toBe(fault);
  });

  test('build with the crash points in the hub and none in the probe', async () => {
    const outdir = await mkdtemp(join(tmpdir(), 'parallax-patched-'));
    try {
      await buildPatched(outdir, crashPointPatches);
      const hub = await readFile(join(outdir, 'hub.js'), 'utf8');
      for (const point of crashPoints) expect(hub).toContain(`crashPoint("${point}")`);
      expect(await readdir(join(outdir, 'migrations'))).not.toEqual([]);
      expect(await readFile(join(outdir, 'probe.js'), 'utf8')).not.toContain('PARALLAX_CHAOS');
    } finally {
      await rm(outdir, { recursive: true, force: true });
    }
  });

  test('have migrations that fall apart into statements', async () => {
    const folder = join(root, 'migrations');
    for (const file of await readdir(folder)) {
      const text = await readFile(join(folder, file), 'utf8');
      const statements = statementsOf(text);
      for (const statement of statements) {
        expect(statement).toMatch(/^(create|alter|drop|insert|update|delete|comment|do|set|lock)\b/i);
      }
    }
  });
});

describe('a crash point', () => {
  const file = JSON.stringify(join(root, 'test/chaos/build/crash-point.ts'));
  const script = `import { crashPoint } from ${file};
    for (let pass = 0; pass < 5; pass += 1) { crashPoint('here'); process.stdout.write(String(pass)); }`;

  test('ends one process at the pass that it is armed for, and then no more', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'parallax-crash-'));
    const run = async () => {
      const env = { ...process.env, [crashFolderVariable]: folder };
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], { env });
      let printed = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        printed += text;
      });
      const [, signal] = await once(child, 'close');
      return [printed, signal];
    };
    try {
      await writeFile(join(folder, 'here'), '2');
      expect(await run()).toEqual(['01', 'SIGKILL']);
      expect(await run()).toEqual(['01234', null]);
      expect((await readdir(folder)).map((name) => name.replace(/\d+$/, ''))).toEqual(['here.hit-']);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
