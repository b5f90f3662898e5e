import type { Logger } from 'pino';
import type { HubConfig } from './config.ts';
import { isCertificateTrouble, kafkaReason } from './ingest/kafka-client.ts';
import { createTopics } from './ingest/kafka-topics.ts';
import { type Database, openDatabase } from './store/database.ts';
import { migrateUp, requireCurrentSchema, withSchema } from './store/migrate.ts';
import { type Migration, migrationsDir, readMigrations } from './store/migrations.ts';
import { reachDatabase } from './store/reach-database.ts';

export interface Store {
  readonly db: Database;
  readonly migrations: readonly Migration[];
}

/** The database with today's schema, and Kafka's topics where there is Kafka. Throws one line where they cannot be had. */
export async function startStore(
  config: HubConfig,
  log: Logger,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Store> {
  const { databaseUrl: url, migrate, kafka, env } = config;
  const migrations = await readMigrations(migrationsDir());
  const db = openDatabase({
    url,
    applicationName: 'parallax-hub',
    onIdleError: (error) => log.warn({ err: error }, 'a connection to the database broke'),
  });
  try {
    await reachDatabase(db, { url, say, signal });
    if (migrate) {
      const done = await withSchema(url, (schema) => migrateUp(schema, migrations));
      if (done.length > 0) log.info({ migrations: done.map(({ name }) => name) }, 'schema brought up');
    } else {
      await requireCurrentSchema(db, migrations);
    }
    if (kafka && migrate) {
      const topics = await createTopics(kafka, env, log).catch((error: Error) => {
        const trouble = `Kafka at ${kafka.brokers.join(', ')}: ${kafkaReason(error)}`;
        // A renewed certificate is taken up, and all but results goes on meanwhile: no reason to start again and again.
        if (isCertificateTrouble(error)) {
          say(`${trouble}; the hub starts without it and tries on`);
          return [];
        }
        throw new Error(`${trouble}: start it, correct KAFKA_BROKERS, or unset it to do without`, {
          cause: error,
        });
      });
      const made = topics.filter(({ state }) => state === 'made').map(({ topic }) => topic);
      if (made.length > 0) log.info({ topics: made }, 'topics made');
    }
    return { db, migrations };
  } catch (error) {
    await db.end();
    throw error;
  }
}
