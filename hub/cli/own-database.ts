import type { CliContext } from '../../shared/command-line.ts';
import { readStoreConfig } from '../read-store-config.ts';
import type { Sql } from '../store/database.ts';
import { openDatabase } from '../store/database.ts';
import { reachDatabase } from '../store/reach-database.ts';
import { checkKeys } from '../trust/check-keys.ts';
import type { HubKeys } from '../trust/keys.ts';
import { readHubKeys } from '../trust/load-keys.ts';
import { keysDir, orFailed } from './keys.ts';
import { readSettings } from './read-settings.ts';

/** Nobody has a token, and the database is named: who holds it and the hub's keys may help himself. */
export function helpsItself({ env }: Pick<CliContext, 'env'>): boolean {
  return !env.PARALLAX_TOKEN && Boolean(env.DATABASE_URL || env.DATABASE_URL_FILE);
}

/** One transaction as the hub itself, with its keys. Throws UsageError and Failed. */
export async function asHub<T>(
  { env, cwd, terminal, signal }: CliContext,
  applicationName: string,
  work: (sql: Sql, keys: HubKeys) => Promise<T>,
): Promise<T> {
  const { databaseUrl: url } = readSettings(() => readStoreConfig(env));
  const keys = await orFailed(readHubKeys(keysDir({ env, cwd })));
  const db = openDatabase({ url, maxConnections: 1, applicationName });
  try {
    await reachDatabase(db, { url, say: (line) => terminal.err(`${line}\n`), signal });
    await orFailed(checkKeys(db, keys));
    return await db.transaction((sql) => work(sql, keys));
  } finally {
    await db.end();
  }
}
