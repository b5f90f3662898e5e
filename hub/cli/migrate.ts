import { Command } from 'commander';
import { type CliContext, Failed, jsonLine, paint, table, UsageError } from '../../shared/command-line.ts';
import { createHubLog } from '../hub-log.ts';
import { createTopics, type TopicReport } from '../ingest/kafka-topics.ts';
import { readStoreConfig } from '../read-store-config.ts';
import type { Database } from '../store/database.ts';
import { migrateDown, migrateUp, migrationStatus, withSchema } from '../store/migrate.ts';
import { type Migration, migrationsDir, readMigrations } from '../store/migrations.ts';
import { reachDatabase } from '../store/reach-database.ts';
import { readSettings } from './read-settings.ts';

const help = `
Reads DATABASE_URL (or DATABASE_URL_FILE); with KAFKA_BROKERS set \`up\` also makes Kafka's topics where they are missing.

Examples:
  parallax migrate status
  parallax migrate up
  parallax migrate down --steps 1     takes the newest migration back, with the data it brought

Each migration runs in a transaction of its own: one that fails leaves the schema at the one before. \`parallax hub\` runs
\`up\` by itself when it starts, unless it is told --no-migrate.`;

export function migrateCommand(context: CliContext): Command {
  return new Command('migrate')
    .description("bring the database's schema up or down, or show where it is")
    .addHelpText('after', help)
    .addCommand(upCommand(context))
    .addCommand(downCommand(context))
    .addCommand(statusCommand(context));
}

function upCommand(context: CliContext): Command {
  const { terminal } = context;
  return new Command('up')
    .description('run the migrations that are missing, and make topics where there is Kafka')
    .option('--json', 'one JSON object a line')
    .action(async ({ json }: { json?: true }) => {
      const done = await onDatabase(context, migrateUp);
      for (const { version, name } of done) {
        terminal.out(
          json ? jsonLine({ version, name, done: 'up' }) : `up    ${numbered({ version, name })}\n`,
        );
      }
      if (done.length === 0 && !json) terminal.out('the schema is up to date\n');
      for (const report of await topics(context)) {
        const { topic, state, partitions } = report;
        terminal.out(json ? jsonLine(report) : `topic ${topic}: ${state}, ${partitions} partitions\n`);
      }
    });
}

function downCommand(context: CliContext): Command {
  const { terminal } = context;
  return new Command('down')
    .description('take the newest migrations back')
    .option('--steps N', 'how many', '1')
    .option('--json', 'one JSON object a line')
    .action(async ({ json, steps }: { json?: true; steps: string }) => {
      if (!/^[1-9]\d{0,3}$/.test(steps)) throw new UsageError(`--steps ${steps}: a whole number from 1 on`);
      const done = await onDatabase(context, (db, known) => migrateDown(db, known, Number(steps)));
      for (const { version, name } of done) {
        terminal.out(
          json ? jsonLine({ version, name, done: 'down' }) : `down  ${numbered({ version, name })}\n`,
        );
      }
      if (done.length === 0 && !json) terminal.out('there is nothing to take back\n');
    });
}

function statusCommand(context: CliContext): Command {
  const { terminal } = context;
  return new Command('status')
    .description('show each migration; exit code 1 unless all are applied')
    .option('--json', 'one JSON object a line')
    .action(async ({ json }: { json?: true }) => {
      const all = await onDatabase(context, migrationStatus);
      if (json) terminal.out(all.map(jsonLine).join(''));
      else {
        const rows = all.map(({ version, name, state, appliedAt }) => [
          numbered({ version, name }),
          state,
          appliedAt?.toISOString() ?? '',
        ]);
        terminal.out(
          table(terminal, ['MIGRATION', 'STATE', 'APPLIED'], rows, (cell, column) =>
            column === 1 ? paint(terminal, cell.trim() === 'applied' ? 'green' : 'yellow', cell) : cell,
          ),
        );
      }
      const wrong = all.filter(({ state }) => state !== 'applied').length;
      if (wrong > 0)
        throw new Failed(`${wrong} of ${all.length} migrations are not applied as they stand here`);
    });
}

async function onDatabase<T>(
  { env, terminal, signal }: CliContext,
  work: (db: Database, migrations: readonly Migration[]) => Promise<T>,
): Promise<T> {
  const { databaseUrl: url } = readSettings(() => readStoreConfig(env));
  const migrations = await readMigrations(migrationsDir());
  return withSchema(url, async (db) => {
    await reachDatabase(db, { url, say: (line) => terminal.err(`${line}\n`), signal });
    return work(db, migrations);
  });
}

async function topics({ env, terminal }: CliContext): Promise<TopicReport[]> {
  const { kafka, environment } = readSettings(() => readStoreConfig(env));
  if (!kafka) return [];
  return createTopics(kafka, environment, createHubLog('warn', terminal.err)).catch((error: Error) => {
    throw new Failed(`Kafka at ${kafka.brokers.join(', ')}: ${error.message}`, { cause: error });
  });
}

function numbered({ version, name }: { version: number; name: string }): string {
  return `${String(version).padStart(4, '0')} ${name}`;
}
