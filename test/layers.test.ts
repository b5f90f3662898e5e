import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { importCircles, readSources, root, sourceFile } from './harness/imports.ts';

const sources = [...(await readSources('shared', 'hub', 'probe'))];
const ownFolder = /^(shared|hub|probe|deploy|test|parallax\.ts)(\/|$)/;

/** Pure computing; everything else of Node reaches the world. */
const pureModules = ['node:crypto', 'node:zlib'];
const packagesWithIo = ['pg', 'undici', 'kafkajs', 'hono', '@hono/node-server', 'pino', 'prom-client'];

function offences(folder: string, allowed: (name: string) => boolean): string[] {
  return sources
    .filter(({ path }) => path.startsWith(folder))
    .flatMap(({ path, imports }) =>
      imports.filter((name) => !allowed(name)).map((name) => `${path} imports ${name}`),
    );
}

const staysIn =
  (...folders: readonly string[]) =>
  (name: string) =>
    !ownFolder.test(name) || folders.some((folder) => name.startsWith(folder));

describe('layers', () => {
  test('the sources were found, with their imports', () => {
    expect(sources.length).toBeGreaterThan(30);
    expect(sources.flatMap(({ imports }) => imports).length).toBeGreaterThan(50);
  });

  test('the hub reaches only itself and shared', () => {
    expect(offences('hub/', staysIn('hub/', 'shared/'))).toEqual([]);
  });

  test('the probe reaches only itself and shared', () => {
    expect(offences('probe/', staysIn('probe/', 'shared/'))).toEqual([]);
  });

  test('shared reaches only itself', () => {
    expect(offences('shared/', staysIn('shared/'))).toEqual([]);
  });

  test.each(['shared/', 'hub/judge/'])('%s does no input or output and reads no environment', (folder) => {
    const doesIo = (name: string) =>
      (name.startsWith('node:') && !pureModules.includes(name)) ||
      packagesWithIo.includes(name.split('/')[0] ?? '');
    expect(offences(folder, (name) => !doesIo(name))).toEqual([]);
    const touching = sources.filter(
      ({ path, text }) =>
        path.startsWith(folder) && /\bprocess\.|\bfetch\(|\bWebSocket\b|\bconsole\./.test(text),
    );
    expect(touching.map(({ path }) => path)).toEqual([]);
  });

  test('no import goes in a circle, types included', async () => {
    const everything = [...sources, ...(await readSources('deploy', 'test'))];
    expect(importCircles(everything).map((circle) => circle.join(' -> '))).toEqual([]);
  });

  test('kafkajs stays in its adapters', () => {
    const users = sources.filter(({ imports }) => imports.includes('kafkajs')).map(({ path }) => path);
    expect(users.filter((path) => !/\/kafka-[a-z-]+\.ts$/.test(path))).toEqual([]);
  });
});

describe('what reads the imports', () => {
  const cases: [content: string, imports: string[]][] = [
    ["import { a } from './b.ts';", ['shared/b.ts']],
    ["import type { A } from '../hub/b.ts';", ['hub/b.ts']],
    ["import {\n  a,\n  b,\n} from 'zod';", ['zod']],
    ["import './b.ts';", ['shared/b.ts']],
    ["export * from './b.ts';", ['shared/b.ts']],
    ["const a = await import('./b.ts');", ['shared/b.ts']],
    ["type A = import('./b.ts').A;", ['shared/b.ts']],
    ["// import { a } from './b.ts';\n/* from './c.ts' */", []],
  ];
  test.each(cases)('%j', (content, imports) => {
    expect(sourceFile('shared/a.ts', content).imports).toEqual(imports);
  });

  test('a circle over three files is found, also where it is not at the start', () => {
    const files = [
      sourceFile('a.ts', "import './b.ts'"),
      sourceFile('b.ts', "import type { C } from './c.ts'"),
      sourceFile('c.ts', "import './d.ts'"),
      sourceFile('d.ts', "export * from './b.ts'"),
    ];
    expect(importCircles(files)).toEqual([['b.ts', 'c.ts', 'd.ts', 'b.ts']]);
  });
});

describe('bundles', () => {
  let outdir = '';
  const read = async (name: string) => {
    const map = JSON.parse(await readFile(join(outdir, `${name}.js.map`), 'utf8')) as { sources: string[] };
    const own = map.sources.filter((source) => !source.includes('node_modules/'));
    return { own, bytes: (await stat(join(outdir, `${name}.js`))).size };
  };
  beforeAll(async () => {
    outdir = await mkdtemp(join(tmpdir(), 'parallax-bundles-'));
    const build = join(root, 'deploy/build.mjs');
    await promisify(execFile)(process.execPath, [build, '--quiet', '--outdir', outdir]);
  });
  afterAll(() => rm(outdir, { recursive: true, force: true }));

  test("the probe's holds nothing of the hub and stays under 2 MB", async () => {
    const { own, bytes } = await read('probe');
    expect(own.filter((source) => /(^|\/)probe\//.test(source)).length).toBeGreaterThan(0);
    // Sources are told relative to the bundle: '../hub/x.ts' is the hub's, '../probe/hub/x.ts' is not.
    expect(own.filter((source) => /(^|\.\.\/)hub\//.test(source))).toEqual([]);
    expect(bytes).toBeLessThan(2 * 1024 * 1024);
  });

  test("the hub's holds nothing of the probe", async () => {
    const { own } = await read('hub');
    expect(own.filter((source) => /(^|\/)hub\//.test(source)).length).toBeGreaterThan(0);
    expect(own.filter((source) => /(^|\/)probe\//.test(source))).toEqual([]);
  });

  test('the front door is small and loads neither before it knows the command', async () => {
    const { own, bytes } = await read('parallax');
    expect(own.map((source) => source.split('/').at(-1))).toEqual(['parallax.ts']);
    expect(bytes).toBeLessThan(20_000);
  });
});
