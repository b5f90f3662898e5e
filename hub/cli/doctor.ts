import { Command } from 'commander';
import { type CliContext, Failed } from '../../shared/command-line.ts';
import { examine, fail, ok } from '../../shared/doctor.ts';
import { lookAtAddress, lookAtDatabase, lookAtFileLimit, lookAtKafka, lookAtKeys } from '../doctor/looks.ts';
import { createHubLog } from '../hub-log.ts';
import { readHubConfig } from '../read-config.ts';
import { SettingsError } from '../settings.ts';
import { version } from '../version.ts';

export function doctorCommand({ env, terminal, signal }: CliContext): Command {
  return new Command('doctor')
    .argument('[hub]', 'the hub: without it, a probe is looked at')
    .description('whether a hub would be well here, and what to do where not')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      `
Reads what \`parallax hub\` reads (DATABASE_URL, PARALLAX_KEYS, KAFKA_* ...) and changes nothing.
Exit codes: 0 sound (! is worth knowing), 1 something keeps the hub from working (x).`,
    )
    .action(async (_: string | undefined, { json }: { json?: true }) => {
      const tell = (looks: Parameters<typeof examine>[1]) => examine(terminal, looks, json ?? false);
      let config: ReturnType<typeof readHubConfig>;
      try {
        config = readHubConfig(env);
      } catch (error) {
        if (!(error instanceof SettingsError)) throw error;
        await tell([async () => error.problems.map((problem) => fail('settings', problem, null))]);
        throw new Failed('');
      }
      const log = createHubLog('silent', terminal.err);
      const sound = await tell([
        async () => [ok('version', `Parallax ${version} on Node ${process.versions.node}`)],
        async () => [ok('settings', 'all can be read')],
        () => lookAtDatabase(config.databaseUrl, signal),
        () => lookAtKafka(config, log),
        () => lookAtKeys(config.keysDir),
        () => lookAtAddress(config),
        lookAtFileLimit,
      ]);
      if (!sound) throw new Failed('');
    });
}
