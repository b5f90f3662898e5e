import type { Command } from 'commander';
import { type CliContext, runCommandLine, UsageError } from '../../shared/command-line.ts';
import { checkCommand } from './check.ts';
import { doctorCommand } from './doctor.ts';
import { healthCommand } from './health.ts';
import { probeCommand } from './probe.ts';

/** A command a file: adding one is one line here and one in the front door. */
const commands: Readonly<Record<string, (context: CliContext) => Command>> = {
  check: checkCommand,
  doctor: doctorCommand,
  health: healthCommand,
  probe: probeCommand,
};

/** The front door hands over the whole command line, the command's name first. Resolves to the exit code. */
export async function run([name = '', ...argv]: readonly string[], context: CliContext): Promise<number> {
  const make = commands[name];
  if (!make) throw new UsageError(`there is no command '${name}': parallax --help lists them`);
  return runCommandLine(make(context), argv, context.terminal);
}
