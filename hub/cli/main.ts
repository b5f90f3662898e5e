import type { Command } from 'commander';
import { type CliContext, runCommandLine, UsageError } from '../../shared/command-line.ts';
import { auditCommand } from './audit.ts';
import { benchCommand } from './bench.ts';
import { checkFromCommand } from './check-from.ts';
import { completionCommand } from './completion.ts';
import { demoCommand } from './demo.ts';
import { doctorCommand } from './doctor.ts';
import { endpointsCommand } from './endpoints.ts';
import { enrollCommand } from './enroll.ts';
import { healthCommand } from './health.ts';
import { hubCommand } from './hub.ts';
import { kafkaCommand } from './kafka.ts';
import { keysCommand } from './keys.ts';
import { migrateCommand } from './migrate.ts';
import { probesCommand } from './probes.ts';
import { rejectsCommand } from './rejects.ts';
import { resultsCommand } from './results.ts';
import { secretCommand } from './secret.ts';
import { signInCommand } from './sign-in.ts';
import { statusCommand } from './status.ts';
import { tokensCommand } from './tokens.ts';
import { upCommand } from './up.ts';

/** A command a file: adding one is one line here and one in the front door. */
const commands: Readonly<Record<string, (context: CliContext) => Command>> = {
  bench: benchCommand,
  endpoints: endpointsCommand,
  check: checkFromCommand,
  demo: demoCommand,
  doctor: doctorCommand,
  probes: probesCommand,
  kafka: kafkaCommand,
  keys: keysCommand,
  enroll: enrollCommand,
  health: healthCommand,
  hub: hubCommand,
  audit: auditCommand,
  completion: (context) => completionCommand(context, { own: commands }),
  migrate: migrateCommand,
  rejects: rejectsCommand,
  results: resultsCommand,
  secret: secretCommand,
  'sign-in': signInCommand,
  status: statusCommand,
  tokens: tokensCommand,
  up: upCommand,
};

/** The front door hands over the whole command line, the command's name first. Resolves to the exit code. */
export async function run([name = '', ...argv]: readonly string[], context: CliContext): Promise<number> {
  const make = commands[name];
  if (!make) throw new UsageError(`there is no command '${name}': parallax --help lists them`);
  return runCommandLine(make(context), argv, context.terminal);
}
