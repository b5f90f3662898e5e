import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildOnce, cli } from './flow/up-process.ts';
import { root } from './harness/imports.ts';

let folder = '';
beforeAll(async () => {
  await buildOnce();
  folder = await mkdtemp(join(tmpdir(), 'parallax-door-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A Node of this machine that is older than the one Parallax runs on; null where there is none. */
function olderNode(): string | null {
  const places = (process.env.PATH ?? '').split(delimiter).filter((each) => !each.includes('node_modules'));
  for (const place of [...places, '/usr/bin', '/usr/local/bin']) {
    try {
      const version = execFileSync(join(place, 'node'), ['--version'], { encoding: 'utf8', stdio: 'pipe' });
      if (Number(/^v(\d+)/.exec(version)?.[1]) < 24) return join(place, 'node');
    } catch {
      // Not here.
    }
  }
  return null;
}

describe('the front door', () => {
  test.each<[string[], number, RegExp]>([
    [[], 2, /^parallax COMMAND/],
    [['--help'], 0, /^ {2}endpoints +apply, compare/m],
    [['--version'], 0, /^\d+\.\d+\.\d+/],
    [['aply'], 2, /there is no command 'aply': parallax --help lists them/],
    [['__proto__'], 2, /there is no command '__proto__'/],
    [['check'], 2, /name a URL, or a file with --spec/],
    [['constructor'], 2, /there is no command 'constructor'/],
  ])('%j ends with %d', async (args, code, says) => {
    const answer = await cli(args);
    expect([answer.code, `${answer.stdout}${answer.stderr}`]).toEqual([code, expect.stringMatching(says)]);
  });

  test('a file that --env-file names and that is not there is told of', async () => {
    // Node reads this flag too, wherever it stands, and may be the first to miss the file.
    const { code, stderr } = await cli(['results', 'x', '--env-file', '/nowhere/.env']);
    expect([2, 9]).toContain(code);
    expect(stderr).toMatch(/^[^\n]*\/nowhere\/\.env[^\n]*\n$/);
  });

  test('--env-file sets what is not set', async () => {
    const file = join(folder, 'hub.env');
    await writeFile(file, 'PARALLAX_HUB=http://127.0.0.1:1\nPARALLAX_TOKEN=plx_from_the_file\n');
    const there = await cli([`--env-file=${file}`, 'regions'], { PARALLAX_DATA: folder });
    expect(there.stderr).toMatch(/no command 'regions'/);
    const args = ['probes', 'list', '--env-file', file];
    expect((await cli(args, { PARALLAX_DATA: folder })).stderr).toContain('127.0.0.1:1');
    const over = await cli(args, { PARALLAX_DATA: folder, PARALLAX_HUB: 'http://127.0.0.1:2' });
    expect(over.stderr).toContain('127.0.0.1:2');
  });

  // kafkajs asks for timers in the past now and then: where it does is in nobody's hands, whether Node warns is.
  test.each(['kafka', 'migrate', 'hub', 'probe'])(
    '%s speaks with Kafka, and no warning of Node is heard',
    async (name) => {
      const tell = 'process.on("exit",()=>console.error(process.execArgv.join()))';
      const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(tell)}` };
      const { stderr } = await cli([name, '--help'], env);
      expect(stderr).toContain('--disable-warning=TimeoutNegativeWarning');
    },
  );
});

const older = olderNode();

describe.skipIf(!older)('on a Node that is too old', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'a command runs on the pinned one, and %s sent to the first process ends both',
    async (signal) => {
      const args = [join(root, 'dist/parallax.js'), 'bench', 'target', '--listen', '127.0.0.1:0'];
      const child = spawn(older ?? '', args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
      try {
        const [said] = (await once(child.stdout, 'data')) as [Buffer];
        const url = /http:\S+:\d+/.exec(said.toString())?.[0] ?? '';
        expect((await fetch(`${url}/`)).status).toBe(200);
        const beganMs = performance.now();
        child.kill(signal);
        const [code] = (await once(child, 'exit')) as [number | null];
        expect(code).toBe(0);
        expect(performance.now() - beganMs).toBeLessThan(5000);
        await expect(fetch(`${url}/`)).rejects.toThrow();
      } finally {
        if (child.pid && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
      }
    },
    20_000,
  );
});
