import { resolve } from 'node:path';
import { Command } from 'commander';
import { type CliContext, Failed } from '../../shared/command-line.ts';
import { isBeating } from '../state/folder-lock.ts';

export function healthCommand({ env, cwd, terminal }: CliContext): Command {
  return new Command('health')
    .description('whether the probe of a folder lives: what a container asks (a hub: parallax health hub)')
    .option('--data DIR', "the probe's folder (PARALLAX_DATA)")
    .addHelpText(
      'after',
      `
It looks at the folder's lock, which a probe that lives touches each second: neither the hub nor the network is asked,
since a probe that waits for its hub, or for room on its disk, is well and would be no better for being started anew.
Exit codes: 0 it lives, 1 it does not.`,
    )
    .action(async ({ data }: { readonly data?: string }) => {
      const folder = resolve(cwd, data ?? (env.PARALLAX_DATA || 'parallax-probe'));
      if (!(await isBeating(folder))) throw new Failed(`no probe lives in ${folder}`);
      terminal.out('alive\n');
    });
}
