import { chown, mkdtemp, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate, type KeyPair, makeAuthority } from '../../../hub/demo/certificates.ts';
import { tellChange } from '../../../hub/store/changes.ts';
import { openDatabase } from '../../../hub/store/database.ts';
import { superuser } from '../../../hub/store/embedded/cluster.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../hub/store/embedded/start.ts';
import { listenForChanges } from '../../../hub/store/listen-for-changes.ts';
import { migrateUp, withSchema } from '../../../hub/store/migrate.ts';
import { migrationsDir, readMigrations } from '../../../hub/store/migrations.ts';
import { reachDatabase } from '../../../hub/store/reach-database.ts';
import { quiet } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';

const dayMs = 86_400_000;

describe('a PostgreSQL with an authority of its own that asks for certificates', { timeout: 60_000 }, () => {
  let folder = '';
  let authority: KeyPair;
  let postgres: EmbeddedPostgres;
  /** With user, password and port, without anything of TLS. */
  let plain: URL;
  const open: { end(): Promise<void> }[] = [];

  const life = { notBeforeMs: Date.now() - 3 * dayMs, notAfterMs: Date.now() + dayMs };
  const client = (by: KeyPair, over: Partial<typeof life> = {}) =>
    issueCertificate(by, { commonName: 'hub', dns: [], ips: [], roles: ['client'], ...life, ...over });
  async function keep(name: string, { cert, key }: KeyPair): Promise<void> {
    await writeFile(join(folder, `${name}.crt`), cert);
    await writeFile(join(folder, `${name}.key`), key, { mode: 0o600 });
  }
  function address(tls: Readonly<Record<string, string>>, hostname = '127.0.0.1'): string {
    const url = new URL(plain);
    url.hostname = hostname;
    for (const [name, value] of Object.entries(tls)) {
      url.searchParams.set(name, name === 'sslmode' ? value : join(folder, value));
    }
    return url.href;
  }
  const full = { sslmode: 'verify-full', sslrootcert: 'ca.crt', sslcert: 'hub.crt', sslkey: 'hub.key' };
  async function reach(url: string): Promise<string> {
    const db = openDatabase({ url, maxConnections: 1 });
    const terms = { url, say: () => undefined, signal: AbortSignal.timeout(20_000), withinMs: 500 };
    return reachDatabase(db, terms)
      .then(
        () => 'reached',
        (error: Error) => error.message,
      )
      .finally(() => db.end());
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parallax-tls-'));
    authority = await makeAuthority(Date.now(), 'database authority');
    const dataDir = join(folder, 'postgres');
    const first = await startEmbeddedPostgres({
      dataDir,
      log: () => undefined,
      signal: AbortSignal.timeout(60_000),
      durable: false,
    });
    await withSuperuser(first.url, async (admin) => {
      await admin.query("create role hub login password 'p' createdb");
      await admin.query('alter database parallax owner to hub');
    });
    await first.stop();
    // Where it may read them: as root it runs as another user.
    const base = await realpath(dataDir);
    const { uid, gid } = await stat(join(base, 'data')).catch(() => stat(base));
    const server = await issueCertificate(authority, { dns: ['db.internal'], ips: ['127.0.0.1'], ...life });
    const files = {
      'server.crt': server.cert,
      'server.key': server.key,
      'ca.crt': authority.cert,
      'hba.conf': [
        // Whoever starts the server looks whether it answers.
        `host all ${superuser} 127.0.0.1/32 scram-sha-256`,
        'hostssl all hub 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n',
      ].join('\n'),
    };
    for (const [name, content] of Object.entries(files)) {
      await writeFile(join(base, name), content, { mode: 0o600 });
      await chown(join(base, name), uid, gid);
    }
    await writeFile(join(folder, 'ca.crt'), authority.cert);
    const other = await makeAuthority(Date.now(), 'other');
    await writeFile(join(folder, 'other.crt'), other.cert);
    await keep('hub', await client(authority));
    await keep('stranger', await client(other));
    await keep('expired', await client(authority, { notAfterMs: Date.now() - dayMs }));
    await keep(
      'other-user',
      await issueCertificate(authority, {
        commonName: 'somebody',
        dns: [],
        ips: [],
        roles: ['client'],
        ...life,
      }),
    );
    postgres = await startEmbeddedPostgres({
      dataDir,
      log: () => undefined,
      signal: AbortSignal.timeout(60_000),
      durable: false,
      settings: {
        ssl: 'on',
        ssl_cert_file: join(base, 'server.crt'),
        ssl_key_file: join(base, 'server.key'),
        ssl_ca_file: join(base, 'ca.crt'),
        hba_file: join(base, 'hba.conf'),
      },
    });
    plain = new URL(postgres.url);
    plain.username = 'hub';
    plain.password = 'p';
  });
  afterAll(async () => {
    for (const each of open.reverse()) await each.end();
    await postgres?.stop();
    await rm(await realpath(join(folder, 'postgres')), { recursive: true, force: true });
    await rm(folder, { recursive: true, force: true });
  });

  test('is reached, migrated and listened to', async () => {
    const url = address(full);
    expect(await reach(url)).toBe('reached');
    await withSchema(url, async (db) => migrateUp(db, await readMigrations(migrationsDir())));
    const db = openDatabase({ url, maxConnections: 2 });
    open.push(db);
    const seen = await db.one<{ ssl: boolean; dn: string }>(
      'select ssl, client_dn as dn from pg_stat_ssl where pid = pg_backend_pid()',
    );
    expect(seen).toEqual({ ssl: true, dn: '/CN=hub' });
    const changes = listenForChanges({ url, log: quiet, pollMs: 60_000 });
    open.push({ end: () => changes.stop() });
    let heard = 0;
    changes.subscribe('endpoints', () => {
      heard += 1;
    });
    await until(async () => {
      await tellChange(db, 'endpoints');
      return heard > 0;
    }, 10_000);
  });

  const cases: [what: string, url: () => string, said: RegExp][] = [
    [
      'without the authority',
      () => address({ ...full, sslrootcert: 'other.crt' }),
      /^the certificate of PostgreSQL at 127\.0\.0\.1:\d+ is of an authority that is not trusted here: name that authority with sslrootcert=FILE in DATABASE_URL$/,
    ],
    [
      'under another name',
      () => address(full, 'localhost'),
      /^the certificate of PostgreSQL at localhost:\d+ is for other names than the one that was dialled/,
    ],
    [
      'without a certificate',
      () => address({ sslmode: 'verify-full', sslrootcert: 'ca.crt' }),
      /does not let us in \(.*client certificate.*\): name one with sslcert=FILE&sslkey=FILE in DATABASE_URL$/,
    ],
    [
      "with a stranger's certificate",
      () => address({ ...full, sslcert: 'stranger.crt', sslkey: 'stranger.key' }),
      /refuses our certificate \(sslcert=FILE&sslkey=FILE in DATABASE_URL, valid from/,
    ],
    [
      'with one that has expired',
      () => address({ ...full, sslcert: 'expired.crt', sslkey: 'expired.key' }),
      /refuses our certificate .*: it has expired/,
    ],
    [
      "with another user's",
      () => address({ ...full, sslcert: 'other-user.crt', sslkey: 'other-user.key' }),
      /does not let us in/,
    ],
    [
      'with a file that is not there',
      () => address({ ...full, sslcert: 'gone.crt' }),
      /^DATABASE_URL names a file that cannot be read: ENOENT.*gone\.crt/,
    ],
    [
      'without TLS',
      () => plain.href,
      /no encryption\): perhaps it asks for TLS: add sslmode=verify-full&sslrootcert=FILE to DATABASE_URL$/,
    ],
  ];
  test.each(cases)('%s: one line says what to do', async (_, url, said) => {
    expect(await reach(url())).toMatch(said);
  });
});

async function withSuperuser(url: string, work: (admin: pg.Client) => Promise<void>): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  await work(admin).finally(() => admin.end());
}
