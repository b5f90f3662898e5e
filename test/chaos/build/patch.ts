import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Plugin } from 'esbuild';
import { buildBundles } from '../../../deploy/bundles.mjs';
import { root } from '../../harness/imports.ts';

/** One change of a source file on its way into a bundle; the product's sources know nothing of it. */
export interface Patch {
  /** Relative to the top. */
  readonly file: string;
  /** Must stand there exactly once: a patch whose place is gone or doubtful fails the build. */
  readonly find: string;
  readonly replace: string;
  /** Put before everything else of the file, such as an import. */
  readonly prelude?: string;
}

/** A patch no longer fits the sources; the message says which, and how often its place was found. */
export class PatchError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'PatchError';
  }
}

/** The file's text with all patches that are meant for it. Throws PatchError. */
export function applyPatches(file: string, text: string, patches: readonly Patch[]): string {
  let patched = text;
  const preludes = new Set<string>();
  for (const patch of patches.filter((one) => one.file === file)) {
    const found = patched.split(patch.find).length - 1;
    if (found !== 1) {
      throw new PatchError(`${file}: found ${found} times, and wanted once: ${JSON.stringify(patch.find)}`);
    }
    patched = patched.replace(patch.find, () => patch.replace);
    if (patch.prelude) preludes.add(patch.prelude);
  }
  return [...preludes].map((line) => `${line}\n`).join('') + patched;
}

/** All that must hold for these patches to build, without building. Throws PatchError. */
export async function checkPatches(patches: readonly Patch[]): Promise<void> {
  for (const file of new Set(patches.map((patch) => patch.file))) {
    const text = await readFile(join(root, file), 'utf8').catch(() => {
      throw new PatchError(`${file} is patched, and is not there`);
    });
    applyPatches(file, text, patches);
  }
}

/** Bundles like those of dist/ in a folder of their own, with these patches in them. Throws PatchError. */
export async function buildPatched(outdir: string, patches: readonly Patch[]): Promise<void> {
  await checkPatches(patches);
  const left = new Set(patches.map((patch) => patch.file));
  const plugin: Plugin = {
    name: 'patches',
    setup(build) {
      build.onLoad({ filter: /\.tsx?$/ }, async ({ path }) => {
        const file = relative(root, path).replaceAll('\\', '/');
        if (!patches.some((patch) => patch.file === file)) return null;
        const contents = applyPatches(file, await readFile(path, 'utf8'), patches);
        left.delete(file);
        return { contents, loader: path.endsWith('x') ? 'tsx' : 'ts' };
      });
    },
  };
  await mkdir(outdir, { recursive: true });
  await buildBundles({ outdir, quiet: true, plugins: [plugin] });
  if (left.size > 0) throw new PatchError(`patched, and in no bundle: ${[...left].join(', ')}`);
  await furnish(outdir);
}

/** What a bundle looks for beside itself or above: the schema, and that it is a module. */
async function furnish(outdir: string): Promise<void> {
  await writeFile(
    join(outdir, 'package.json'),
    '{"name":"parallax-patched","type":"module","private":true}\n',
  );
  for (const name of ['migrations', 'node_modules']) {
    await symlink(join(root, name), join(outdir, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}
