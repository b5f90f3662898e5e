import { readFile, stat } from 'node:fs/promises';
import { request } from 'undici';
import { type Finding, fail, ok, warn } from '../../shared/doctor.ts';
import type { HubConfig } from '../config.ts';
import type { KafkaLog } from '../ingest/kafka-client.ts';
import { type KafkaLook, lookAtCluster } from '../ingest/kafka-look.ts';
import { type Database, openDatabase } from '../store/database.ts';
import { migrationStatus } from '../store/migrate.ts';
import { migrationsDir, readMigrations } from '../store/migrations.ts';
import { reachDatabase, whereOf } from '../store/reach-database.ts';

const timeoutMs = 5000;
const slowMs = 20;
const rounds = 20;

/** Whether it lets us in, how far away it is, how its clock goes, and whether the schema is today's. */
export async function lookAtDatabase(url: string, signal: AbortSignal): Promise<readonly Finding[]> {
  const db = openDatabase({ url, applicationName: 'parallax-doctor', onIdleError: () => undefined });
  try {
    await reachDatabase(db, { url, say: () => undefined, signal, withinMs: timeoutMs });
    return [...(await lookInside(db, url)), await lookAtSchema(db)];
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return [fail('PostgreSQL', message, 'the hub keeps everything there: it does not start without it')];
  } finally {
    await db.end();
  }
}

async function lookInside(db: Database, url: string): Promise<readonly Finding[]> {
  const facts = await db.one<{ version: string; tls: boolean; most: number; open: number; commit: string }>(
    `select current_setting('server_version') as version, coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as tls,
       current_setting('max_connections')::int4 as most, (select count(*) from pg_stat_activity)::int4 as open,
       current_setting('synchronous_commit') as commit`,
  );
  const tookMs: number[] = [];
  let offsetMs = 0;
  for (let round = 0; round < rounds; round += 1) {
    const sinceMs = performance.now();
    const askedMs = Date.now();
    const { now } = await db.one<{ now: number }>(
      'select extract(epoch from clock_timestamp())::float8 * 1000 as now',
    );
    tookMs.push(performance.now() - sinceMs);
    offsetMs = now - (askedMs + Date.now()) / 2;
  }
  const median = tookMs.toSorted((a, b) => a - b)[rounds / 2] ?? 0;
  const where = whereOf(url);
  const { hostname } = new URL(url);
  const near = hostname === '' || /^(localhost|127\.|\[::1\])/.test(hostname);
  const findings = [
    median > slowMs
      ? warn(
          'PostgreSQL',
          `${facts.version} at ${where}, ${median.toFixed(1)} ms away`,
          'each transaction takes several such ways: put hub and database nearer together',
        )
      : ok('PostgreSQL', `${facts.version} at ${where}, ${median.toFixed(1)} ms away`),
  ];
  if (!near && !facts.tls)
    findings.push(
      warn(
        'database TLS',
        'the connection is not encrypted',
        'add sslmode=verify-full&sslrootcert=FILE to DATABASE_URL',
      ),
    );
  if (facts.most - facts.open < 12)
    findings.push(
      warn(
        'connections',
        `${facts.open} of ${facts.most} are taken`,
        'a hub needs 11: raise max_connections, or put a pooler between',
      ),
    );
  if (facts.commit === 'off')
    findings.push(
      warn(
        'durability',
        'synchronous_commit is off',
        'a crash of the database loses results that probes were told are safe (the hub says so in gap records): set it on',
      ),
    );
  findings.push(
    Math.abs(offsetMs) > 1000
      ? warn(
          'clock',
          `this clock and the database's are ${(Math.abs(offsetMs) / 1000).toFixed(1)} s apart`,
          'let chrony or systemd-timesyncd set both: slots run on the clock of the hub',
        )
      : ok('clock', `${Math.abs(offsetMs).toFixed(0)} ms from the database's`),
  );
  return findings;
}

async function lookAtSchema(db: Database): Promise<Finding> {
  const rows = await migrationStatus(db, await readMigrations(migrationsDir()));
  const open = rows.filter(({ state }) => state === 'pending').length;
  if (rows.some(({ state }) => state === 'unknown'))
    return fail(
      'schema',
      'a newer Parallax has been here',
      'run that version: this one refuses the database',
    );
  if (rows.some(({ state }) => state === 'changed'))
    return fail(
      'schema',
      'a migration is not the one that was run',
      'parallax migrate status shows which: put the file back as it was released',
    );
  if (open === 0) return ok('schema', `${rows.length} migrations, all run`);
  return warn(
    'schema',
    `${open} of ${rows.length} migrations are to be run`,
    'parallax hub runs them when it starts; by hand: parallax migrate up',
  );
}

export async function lookAtKafka({ kafka, env }: HubConfig, log: KafkaLog): Promise<readonly Finding[]> {
  if (!kafka) return [ok('Kafka', 'not used: results go by the hub (KAFKA_BROKERS is not set)')];
  const where = kafka.brokers.join(', ');
  let look: KafkaLook;
  try {
    look = await lookAtCluster(kafka, env, log);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [
      fail(
        'Kafka',
        `${where}: ${why}`,
        'look at KAFKA_*: without it probes keep their results and deliver later',
      ),
    ];
  }
  const seen = `${where}: cluster ${look.clusterId}, ${look.brokers} broker${look.brokers === 1 ? '' : 's'}`;
  if (look.missing.length > 0)
    return [
      warn(
        'Kafka',
        `${seen}; ${look.missing.join(' and ')} missing`,
        'parallax migrate up makes them; where ACLs forbid that: parallax kafka setup',
      ),
    ];
  if (look.brokers === 1)
    return [
      warn(
        'Kafka',
        seen,
        'one broker is one disk: three with KAFKA_REPLICATION=3 lose nothing when one goes',
      ),
    ];
  return [ok('Kafka', seen)];
}

/** Keys that others may read are no keys. */
export async function lookAtKeys(dir: string): Promise<readonly Finding[]> {
  try {
    const { mode } = await stat(dir);
    if ((mode & 0o077) !== 0)
      return [fail('keys', `${dir} may be read by other users`, `chmod -R go= ${dir}`)];
    return [ok('keys', `${dir} is this user's alone: keep a backup of it`)];
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [ok('keys', `${dir} is made at the first start`)];
    return [fail('keys', message, 'PARALLAX_KEYS must name a folder of this user')];
  }
}

/** Whether a hub answers where people and probes will look for it. */
export async function lookAtAddress({ publicUrl }: HubConfig): Promise<readonly Finding[]> {
  try {
    const { statusCode, body } = await request(`${publicUrl}/healthz`, {
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = (await body.text()).slice(0, 1000);
    if (statusCode === 200 && text.includes('"alive"'))
      return [ok('address', `a hub answers at ${publicUrl}`)];
    return [
      fail(
        'address',
        `${publicUrl} answers ${statusCode}, not as a hub does`,
        'PARALLAX_PUBLIC_URL must lead to the hub: look at the load balancer',
      ),
    ];
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return [
      warn(
        'address',
        `nobody answers at ${publicUrl} (${code ?? message})`,
        'right where the hub is not running yet; else PARALLAX_PUBLIC_URL must lead to it',
      ),
    ];
  }
}

/** A connection a probe that waits, and an open page. */
export async function lookAtFileLimit(): Promise<readonly Finding[]> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const [, soft = ''] = /^Max open files\s+(\S+)/m.exec(limits) ?? [];
  if (soft === '') return [];
  if (soft === 'unlimited' || Number(soft) >= 4096) return [ok('file limit', `${soft} open files`)];
  return [
    warn(
      'file limit',
      `${soft} open files`,
      'each probe that waits holds one: LimitNOFILE=65536 in systemd, --ulimit nofile=65536 in Docker',
    ),
  ];
}
