import { chmod, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { embedWeb } from './web.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

// Some CommonJS dependencies call require() for Node's own modules; an ES module bundle has none of its own.
const banner = {
  js: "import { createRequire as parallaxCreateRequire } from 'node:module'; const require = parallaxCreateRequire(import.meta.url);",
};

/** @type {import('esbuild').BuildOptions} */
const options = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  sourcemap: true,
  minifySyntax: true,
  legalComments: 'none',
  metafile: true,
  jsx: 'automatic',
  jsxImportSource: 'hono/jsx',
  banner,
  external: ['pg-native'],
};

/**
 * The front door, the hub and the probe, one file each in `outdir`, source maps beside them.
 * @param {{ outdir: string, quiet: boolean, plugins?: readonly import('esbuild').Plugin[] }} how
 */
export async function buildBundles({ outdir, quiet, plugins = [] }) {
  await mkdir(outdir, { recursive: true });
  const common = { ...options, outdir, logLevel: quiet ? 'warning' : 'info' };
  await Promise.all([
    build({
      ...common,
      entryPoints: { parallax: 'parallax.ts' },
      // It runs on whatever Node the machine has, and finds the pinned one.
      target: 'node16',
      banner: { js: `#!/usr/bin/env node\n${banner.js}` },
      external: ['./hub.js', './probe.js'],
    }),
    build({ ...common, entryPoints: { hub: 'hub/cli/main.ts' }, plugins: [...plugins, embedWeb] }),
    // It travels to machines far away: 1.6 MB, of 3.2 as written.
    build({ ...common, minify: true, entryPoints: { probe: 'probe/cli/main.ts' }, plugins: [...plugins] }),
  ]);
  await chmod(join(outdir, 'parallax.js'), 0o755);
}
