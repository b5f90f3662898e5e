// Bundles the front door, the hub and the probe with esbuild: `node deploy/build.mjs [--quiet] [--outdir DIR] [--link]`.
import { lstat, rm, symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildBundles } from './bundles.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outdirAt = process.argv.indexOf('--outdir');
const outdir = resolve(root, outdirAt < 0 ? 'dist' : (process.argv[outdirAt + 1] ?? 'dist'));

await buildBundles({ outdir, quiet: process.argv.includes('--quiet') });

// `npx parallax` in the checkout: npm links the bins of dependencies only, not the package's own.
if (process.argv.includes('--link')) {
  const link = join(root, 'node_modules/.bin/parallax');
  if (await lstat(link).catch(() => null)) await rm(link);
  await symlink('../../dist/parallax.js', link);
}
