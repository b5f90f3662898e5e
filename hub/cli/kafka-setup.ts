import { Command } from 'commander';
import { type CliContext, Failed, jsonLine } from '../../shared/command-line.ts';

export function kafkaSetupCommand({ terminal }: CliContext): Command {
  return new Command('setup')
    .description('topics, ACLs and quotas on a cluster that others run: shows what is missing first')
    .option('--yes', 'do it')
    .option('--json', 'one JSON object a line')
    .action(async ({ json }: { yes?: true; json?: true }) => {
      if (json) terminal.out(jsonLine({ steps: 0 }));
      throw new Failed('KAFKA_BROKERS is not set: name the cluster');
    });
}
