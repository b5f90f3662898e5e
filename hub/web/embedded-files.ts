import type { AssetFile } from './assets.ts';

/** The files for the browser. deploy/build.mjs puts what deploy/web.mjs bundles in the place of this empty list. */
export const embeddedFiles: readonly AssetFile[] = [];
