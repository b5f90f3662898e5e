import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { openDatabase } from '../../hub/store/database.ts';
import { startEmbeddedPostgres } from '../../hub/store/embedded/start.ts';
import { migrateUp } from '../../hub/store/migrate.ts';
import { migrationsDir, readMigrations } from '../../hub/store/migrations.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The superuser's address of the one server of this run; its database `parallax` is the migrated template. */
    postgresUrl: string;
  }
}

/** One PostgreSQL for the whole run. PARALLAX_TEST_DATABASE_URL names another: a PostgreSQL 14, say. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.PARALLAX_TEST_DATABASE_URL;
  if (given) {
    await migrateTemplate(given);
    project.provide('postgresUrl', given);
    return async () => undefined;
  }
  const folder = await mkdtemp(join(tmpdir(), 'parallax-test-'));
  // Where the tests run as root the server's user must pass through.
  await chmod(folder, 0o711);
  const dataDir = join(folder, 'postgres');
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: () => undefined,
    signal: AbortSignal.timeout(120_000),
    settings: { max_connections: '300', shared_buffers: '128MB' },
    durable: false,
  });
  const teardown = async () => {
    await postgres.stop();
    await rm(await realpath(dataDir), { recursive: true });
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await migrateTemplate(postgres.url);
  } catch (error) {
    await teardown();
    throw error;
  }
  project.provide('postgresUrl', postgres.url);
  return teardown;
}

async function migrateTemplate(url: string): Promise<void> {
  const db = openDatabase({ url, maxConnections: 2, applicationName: 'parallax-test-template' });
  try {
    await migrateUp(db, await readMigrations(migrationsDir()));
  } finally {
    // A template may have no connection while it is copied.
    await db.end();
  }
}
