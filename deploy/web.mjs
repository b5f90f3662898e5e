// Bundles the pages' style sheets and browser modules: one file each, no other host, no source map.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

export async function bundleWeb() {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { pages: 'hub/web/browser/pages.ts', look: 'hub/web/look/pages.css' },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    write: false,
    outdir: 'out',
    logLevel: 'warning',
  });
  const named = { 'pages.js': 'pages.js', 'look.css': 'pages.css' };
  return outputFiles.map(({ path, text }) => ({ name: named[path.split(/[\\/]/).at(-1)], text }));
}

/** Puts them into the hub's bundle. */
export const embedWeb = {
  name: 'embed-web',
  setup(plugin) {
    plugin.onLoad({ filter: /hub[\\/]web[\\/]embedded-files\.ts$/ }, async () => ({
      contents: `export const embeddedFiles = ${JSON.stringify(await bundleWeb())};`,
      loader: 'js',
    }));
  },
};
