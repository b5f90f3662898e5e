import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { HubConfig, HubKafkaConfig } from './config.ts';
import { certificatesOf } from './ingest/certificates.ts';
import { isPassing, kafkaReason } from './ingest/kafka-client.ts';
import { createTopics } from './ingest/kafka-topics.ts';
import { type Database, openDatabase } from './store/database.ts';
import { migrateUp, requireCurrentSchema, withSchema } from './store/migrate.ts';
import { type Migration, migrationsDir, readMigrations } from './store/migrations.ts';
import { reachDatabase } from './store/reach-database.ts';

export interface Store {
  readonly db: Database;
  readonly migrations: readonly Migration[];
  /** Makes Kafka's topics, where that could not be done yet; null where there is nothing left to do. */
  readonly topicsDue: (() => Promise<void>) | null;
}

/** So long the start waits for brokers. Probes want their leases, and operators their page, with Kafka or without. */
const kafkaPatienceMs = 15_000;

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
    onIdleError: (error) => {
      // Also where nothing was under way: the next one may lead to a standby that lacks the last second.
      certificatesOf(db).forget();
      log.warn({ err: error }, 'a connection to the database broke');
    },
  });
  try {
    await reachDatabase(db, { url, say, signal });
    if (migrate) {
      const done = await withSchema(url, (schema) => migrateUp(schema, migrations));
      if (done.length > 0) log.info({ migrations: done.map(({ name }) => name) }, 'schema brought up');
    } else {
      await requireCurrentSchema(db, migrations);
    }
    const topicsDue = kafka && migrate ? await tryTopics(kafka, env, log, say) : null;
    return { db, migrations, topicsDue };
  } catch (error) {
    await db.end();
    throw error;
  }
}

/**
 * Brokers that are away, or a certificate that they refuse until it is renewed, are no reason to end and be started
 * again and again: all but results goes on meanwhile. What only a correction can change is.
 */
async function tryTopics(
  kafka: HubKafkaConfig,
  env: string,
  log: Logger,
  say: (line: string) => void,
): Promise<Store['topicsDue']> {
  const make = async () => {
    const topics = await createTopics(kafka, env, log);
    const made = topics.filter(({ state }) => state === 'made').map(({ topic }) => topic);
    if (made.length > 0) log.info({ topics: made }, 'topics made');
    return true;
  };
  const trying = make();
  const patience = new AbortController();
  try {
    const isDone = await Promise.race([trying, wait(kafkaPatienceMs, false, { signal: patience.signal })]);
    if (isDone) return null;
    trying.catch(() => undefined);
    say(
      `${whereOf(kafka)}: no answer for ${kafkaPatienceMs / 1000} s; the hub starts without it and tries on`,
    );
  } catch (error) {
    const trouble = `${whereOf(kafka)}: ${kafkaReason(error)}`;
    if (!isPassing(error)) {
      throw new Error(`${trouble}: correct KAFKA_*, or unset KAFKA_BROKERS to do without`, { cause: error });
    }
    say(`${trouble}; the hub starts without it and tries on`);
  } finally {
    patience.abort();
  }
  return async () => void (await make());
}

const whereOf = ({ brokers }: HubKafkaConfig) => `Kafka at ${brokers.join(', ')}`;
