import { Command } from 'commander';
import type { CliContext } from '../../shared/command-line.ts';
import { serveDemo } from '../demo/serve.ts';

export function demoCommand({ signal }: CliContext): Command {
  return new Command('demo')
    .description('serve the bundled target site as `parallax up` prepared it')
    .requiredOption('--data DIR', 'the folder it was prepared in')
    .action((options: { data: string }) => serveDemo(options.data, signal));
}
