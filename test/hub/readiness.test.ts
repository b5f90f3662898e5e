import pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { codeOf, type HubScene, startHubScene } from './hub-scene.ts';
import { until } from './ingest/until.ts';

let hub: HubScene;
afterEach(() => hub.stop());

const missing = async () => {
  const response = await hub.ask('/readyz');
  const body = (await response.json()) as { missing: { what: string; why: string }[] };
  return { status: response.status, what: body.missing.map(({ what }) => what), why: body.missing };
};

/** Takes the database away from everybody but its superuser's other connections, and gives it back. */
async function allowConnections(allowed: boolean): Promise<void> {
  const name = new URL(hub.databaseUrl).pathname.slice(1);
  const url = new URL(hub.databaseUrl);
  url.pathname = '/postgres';
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  await client.query(`alter database ${name} with allow_connections ${allowed}`);
  if (!allowed) {
    await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name]);
  }
  await client.end();
}

test('a database that goes away is missing, its requests are 503, and all is well when it is back', async () => {
  hub = await startHubScene();
  const token = await hub.token(['admin']);
  expect(await missing()).toMatchObject({ status: 200, what: [] });
  await allowConnections(false);
  await until(async () => (await missing()).what.includes('database'));
  expect((await missing()).status).toBe(503);
  expect((await hub.ask('/healthz')).status).toBe(200);
  const response = await hub.ask('/api/v1/tokens', { token });
  expect(response.headers.get('retry-after')).toBe('2');
  const text = await response.clone().text();
  expect(await codeOf(response)).toEqual([503, 'database.unavailable']);
  expect(text).not.toContain(new URL(hub.databaseUrl).pathname.slice(1));
  await allowConnections(true);
  await until(async () => (await missing()).status === 200);
  expect((await hub.ask('/api/v1/tokens', { token })).status).toBe(200);
});

test('a schema that another Parallax moved on is missing', async () => {
  hub = await startHubScene();
  await hub.db.run(
    `insert into schema_migrations (version, name, checksum) select max(version) + 1, 'next', 'x' from schema_migrations`,
  );
  await until(async () => (await missing()).what.includes('schema'));
  expect((await missing()).why[0]?.why).toMatch(/run the newer Parallax/);
});

test('a replica that only ingests answers for its health and its figures, and for nothing else', async () => {
  hub = await startHubScene({ roles: ['ingest'] }, { signInLink: false });
  expect((await missing()).status).toBe(200);
  expect((await hub.ask('/metrics')).status).toBe(200);
  const token = await hub.token(['admin']);
  for (const path of ['/', '/api/v1/tokens', '/v1/lease', '/openapi.json', '/.well-known/jwks.json']) {
    expect([path, ...(await codeOf(await hub.ask(path, { token })))]).toEqual([path, 404, 'route.unknown']);
  }
});
