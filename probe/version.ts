import manifest from '../package.json' with { type: 'json' };

export const version: string = manifest.version;

/** The runtime this probe runs on, for the hub's list of probes. */
export function runtime(): string {
  const { deno, node } = process.versions;
  return deno ? `deno ${deno}` : `node ${node}`;
}
