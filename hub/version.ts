import manifest from '../package.json' with { type: 'json' };

/** This Parallax's own. */
export const version: string = manifest.version;
