import { Command } from 'commander';
import type { CliContext } from '../../shared/command-line.ts';
import { createHubLog } from '../hub-log.ts';
import { runHub } from '../main.ts';
import { type HubFlags, readHubConfig } from '../read-config.ts';
import { version } from '../version.ts';
import { readSettings } from './read-settings.ts';

export function hubCommand({ env, terminal, signal }: CliContext): Command {
  const command = new Command('hub')
    .description('run the hub: probes, results, API and dashboard')
    .option('--listen ADDRESS', 'where it listens (PARALLAX_LISTEN; default 127.0.0.1:7070)')
    .option(
      '--roles ROLES',
      'what this replica does, of api,ingest,judge,alert (PARALLAX_ROLES; default all)',
    )
    .option('--no-migrate', 'refuse an older schema instead of bringing it up')
    .option('--tls-cert FILE', 'speak https with this certificate; a new one is taken into use by itself')
    .option('--tls-key FILE', "the certificate's private key")
    .option(
      '--trusted-proxy CIDR',
      'believe X-Forwarded-For and -Proto from there (repeatable; PARALLAX_TRUSTED_PROXIES)',
      (value: string, before: readonly string[] | undefined) => [...(before ?? []), value],
    );
  command.addHelpText(
    'after',
    `
Environment (NAME_FILE names a file that holds it, for those marked *):
  DATABASE_URL *          the PostgreSQL, 14 or newer
  PARALLAX_KEYS           folder of the hub's private keys, made at the first start
  PARALLAX_SECRET *       32 bytes in base64 or hex; seals credentials at rest
  PARALLAX_SECRET_ALSO *  what else opens them while the secret is changed
  PARALLAX_PUBLIC_URL     where probes and browsers find the hub, such as https://hub.example
  PARALLAX_HOSTS          further host names that are ours
  KAFKA_BROKERS           results travel through Kafka; README.md lists the rest of KAFKA_*
  PARALLAX_RETENTION_DAYS (7), PARALLAX_LEASE_TTL (6h), PARALLAX_ENV (dev),
  INGEST_MAX_ROWS (5000), INGEST_MAX_MS (50), LOG_LEVEL (info)

Examples:
  export PARALLAX_SECRET=$(openssl rand -base64 32)
  DATABASE_URL=postgresql://parallax@127.0.0.1/parallax PARALLAX_KEYS=./keys parallax hub
  parallax hub --env-file hub.env --listen 0.0.0.0:7070 --tls-cert hub.crt --tls-key hub.key
  parallax hub --env-file hub.env --roles ingest

It logs JSON lines to its standard output, and ends within 10 s of Ctrl-C or SIGTERM.`,
  );
  return command.action(async (flags: HubFlags) => {
    const config = readSettings(() => readHubConfig(env, flags));
    const log = createHubLog(config.logLevel, terminal.log ?? terminal.out);
    const say = (line: string) => terminal.err(`${line}\n`);
    const bug = (error: unknown) => {
      log.fatal({ err: error }, 'a bug: the hub ends, so that it is started anew');
      terminal.err(`parallax: ${error instanceof Error ? error.message : error}\n`);
      process.exit(1);
    };
    process.on('uncaughtException', bug);
    try {
      await runHub(config, { version, log, say, signal });
    } finally {
      process.off('uncaughtException', bug);
    }
  });
}
