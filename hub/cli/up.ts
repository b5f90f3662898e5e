import { Command } from 'commander';
import { type CliContext, Failed, paint, UsageError } from '../../shared/command-line.ts';
import { parseNetworkRule } from '../../shared/network-rule.ts';
import { parseListen } from '../up/listen.ts';
import { up } from '../up/up.ts';

export function upCommand({ env, terminal, signal }: CliContext): Command {
  const command = new Command('up')
    .description('everything on this machine: database, hub, three probes, a target site')
    .option('--listen ADDRESS', 'where the hub listens', '127.0.0.1:7070')
    .option('--data DIR', 'where everything is kept', env.PARALLAX_DATA || '.parallax')
    .option('--endpoints FILE', 'check these endpoints in place of the bundled target site')
    .option(
      '--allow-network CIDR[:PORT]',
      'a private network the local probes may reach (repeatable)',
      gather,
    );
  command.addHelpText(
    'after',
    `
Examples:
  npm start
  npm start -- --endpoints my.yaml
  npm start -- --endpoints lan.yaml --allow-network 192.168.0.0/16
  KAFKA_BROKERS=127.0.0.1:9092 npm start     results travel through Apache Kafka
  DATABASE_URL=postgresql://… npm start      your PostgreSQL in place of the embedded one`,
  );
  return command.action(async (options: UpFlags) => {
    const listen = parseListen(options.listen);
    if (!listen) throw new UsageError(`--listen ${options.listen}: write it as 127.0.0.1:7070`);
    for (const network of options.allowNetwork ?? []) requireNetwork(network);
    const say = (component: string, line: string) =>
      terminal.out(`${paint(terminal, 'cyan', component.padEnd(15))} ${line}\n`);
    const { data, endpoints = null, allowNetwork = [] } = options;
    await up({ listen, data, endpoints, allowNetwork, env }, say, signal).catch((error: unknown) => {
      throw new Failed(error instanceof Error ? error.message : String(error), { cause: error });
    });
  });
}

interface UpFlags {
  readonly listen: string;
  readonly data: string;
  readonly endpoints?: string;
  readonly allowNetwork?: readonly string[];
}

/** A probe would refuse it too, once everything else had been started. */
function requireNetwork(network: string): void {
  try {
    parseNetworkRule(network);
  } catch (error) {
    throw new UsageError(`--allow-network ${error instanceof Error ? error.message : network}`);
  }
}

function gather(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
