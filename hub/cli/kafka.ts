import { Command } from 'commander';
import type { CliContext } from '../../shared/command-line.ts';
import { kafkaRepairCommand } from './kafka-repair.ts';
import { kafkaSetupCommand } from './kafka-setup.ts';

export function kafkaCommand(context: CliContext): Command {
  return new Command('kafka')
    .description("prepare a Kafka cluster, or mend the hub's place in its log")
    .addCommand(kafkaSetupCommand(context))
    .addCommand(kafkaRepairCommand(context));
}
