// Bundles the front door, the hub and the probe with esbuild, one file each, source maps beside them.
import { chmod, lstat, mkdir, rm, symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { embedWeb } from './web.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const quiet = process.argv.includes('--quiet');
const outdirAt = process.argv.indexOf('--outdir');
const outdir = resolve(root, outdirAt < 0 ? 'dist' : (process.argv[outdirAt + 1] ?? 'dist'));

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
  outdir,
  minifySyntax: true,
  legalComments: 'none',
  logLevel: quiet ? 'warning' : 'info',
  metafile: true,
  jsx: 'automatic',
  jsxImportSource: 'hono/jsx',
  banner,
  external: ['pg-native'],
};

await mkdir(outdir, { recursive: true });
await Promise.all([
  build({
    ...options,
    entryPoints: { parallax: 'parallax.ts' },
    // It runs on whatever Node the machine has, and finds the pinned one.
    target: 'node16',
    banner: { js: `#!/usr/bin/env node\n${banner.js}` },
    external: ['./hub.js', './probe.js'],
  }),
  build({ ...options, entryPoints: { hub: 'hub/cli/main.ts' }, plugins: [embedWeb] }),
  // It travels to machines far away: 1.6 MB, of 3.2 as written.
  build({ ...options, minify: true, entryPoints: { probe: 'probe/cli/main.ts' } }),
]);
await chmod(join(outdir, 'parallax.js'), 0o755);

// `npx parallax` in the checkout: npm links the bins of dependencies only, not the package's own.
if (process.argv.includes('--link')) {
  const link = join(root, 'node_modules/.bin/parallax');
  if (await lstat(link).catch(() => null)) await rm(link);
  await symlink('../../dist/parallax.js', link);
}
