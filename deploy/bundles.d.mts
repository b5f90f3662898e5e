import type { Plugin } from 'esbuild';

/** The front door, the hub and the probe, one file each in `outdir`, source maps beside them. */
export function buildBundles(how: {
  readonly outdir: string;
  readonly quiet: boolean;
  readonly plugins?: readonly Plugin[];
}): Promise<void>;
