import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

export interface TestDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

/** A migrated database of one's own, cloned from the run's template: about 30 ms. `empty` skips the schema. */
export async function testDatabase(options: { readonly empty?: boolean } = {}): Promise<TestDatabase> {
  const template = new URL(inject('postgresUrl'));
  const name = `test_${randomBytes(6).toString('hex')}`;
  const from = options.empty ? 'template0' : template.pathname.slice(1);
  // Two test files may clone at once: the template may have nobody else connected, and a copy locks it for its time.
  await withAdmin(async (client) => {
    await client.query('select pg_advisory_lock(7125306402)');
    await client.query(`create database ${name} template ${from}`);
  });
  return {
    url: databaseUrl(name),
    drop: () =>
      withAdmin(async (client) => {
        await client.query(`drop database if exists ${name} with (force)`);
      }),
  };
}

function databaseUrl(name: string): string {
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${name}`;
  return url.href;
}

async function withAdmin(work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({
    connectionString: databaseUrl('postgres'),
    connectionTimeoutMillis: 10_000,
  });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
