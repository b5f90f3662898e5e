import { execFile } from 'node:child_process';
import { realpath, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from '../../../hub/process/port.ts';
import { accountFor } from '../../../hub/store/embedded/account.ts';
import { findBinaries } from '../../../hub/store/embedded/binaries.ts';
import { sharedDir } from '../../../hub/store/embedded/place.ts';
import { launch } from '../../../hub/store/embedded/server.ts';
import type { Fault } from '../fault.ts';
import type { ChaosNetwork } from '../network.ts';

const run = promisify(execFile);

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * A base backup of the running server by its low-level API (PostgreSQL manual, 25.3.4), beside its data. The WAL that it
 * needs is copied after the backup's end, so that it starts by itself.
 */
async function baseBackup(network: ChaosNetwork, name: string): Promise<{ base: string; backup: string }> {
  const base = await realpath(network.postgres.dataDir);
  const [data, backup] = [join(base, 'data'), join(base, name)];
  await rm(backup, { recursive: true, force: true });
  await withClient(network.postgres.url(), async (client) => {
    await client.query("select pg_backup_start('chaos', true)");
    // Files that go away meanwhile make cp complain, and are not missed.
    await run('cp', ['-a', data, backup]).catch(() => undefined);
    const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)');
    await writeFile(join(backup, 'backup_label'), rows[0]?.labelfile ?? '', { mode: 0o600 });
  });
  await rm(join(backup, 'pg_wal'), { recursive: true });
  await run('cp', ['-a', join(data, 'pg_wal'), join(backup, 'pg_wal')]).catch(() => undefined);
  for (const file of ['postmaster.pid', 'postmaster.opts']) await rm(join(backup, file), { force: true });
  const account = await accountFor();
  if (account) await run('chown', [`${account.uid}:${account.gid}`, join(backup, 'backup_label')]);
  return { base, backup };
}

/** Ends the server at once, and starts it on another folder in the place of its own. */
async function takeTheOther(network: ChaosNetwork, base: string, other: string): Promise<void> {
  const [data, lost] = [join(base, 'data'), join(base, 'lost')];
  await network.postgres.stop('SIGKILL');
  // Its children hold its memory until they see that it is gone.
  await wait(500);
  await rename(data, lost);
  await rename(other, data);
  await network.postgres.start();
  await rm(lost, { recursive: true });
}

/** All since the backup is gone from the database. Kafka still has what it took: it is read again from there. */
const restoredFault: Fault = {
  name: 'postgres.restored',
  area: 'postgres',
  conflicts: ['postgres.*', 'hub.older-schema'],
  async inject(network, random, signal) {
    const { base, backup } = await baseBackup(network, 'backup');
    const ageMs = random.int(4000, 15_000);
    await wait(ageMs, undefined, { signal }).catch(() => undefined);
    await takeTheOther(network, base, backup);
    return {
      detail: `PostgreSQL is back at its backup of ${(ageMs / 1000).toFixed(1)} s before`,
      heal: async () => undefined,
      databaseWentBack: true,
    };
  },
};

/** The server is lost, and a replica that streamed from it takes its place, without what came in the last second. */
const failoverFault: Fault = {
  name: 'postgres.failover',
  area: 'postgres',
  conflicts: ['postgres.*', 'hub.older-schema'],
  async inject(network) {
    const { base, backup } = await baseBackup(network, 'replica');
    await writeFile(join(backup, 'standby.signal'), '', { mode: 0o644 });
    const account = await accountFor();
    const binaries = await findBinaries(account, sharedDir);
    const primary = new URL(network.postgres.url());
    const conninfo = `host=${primary.hostname} port=${primary.port} user=${primary.username} password=${primary.password}`;
    const port = await freePort();
    const replica = await launch({ base, data: backup }, binaries, account, {
      port,
      logFile: join(network.folder, 'replica.log'),
      settings: { primary_conninfo: conninfo, hot_standby: 'on', max_connections: '60' },
    });
    const signalAll = (name: NodeJS.Signals) => process.kill(-replica.process.pid, name);
    try {
      await caughtUp(network);
    } catch (error) {
      signalAll('SIGKILL');
      throw error;
    }
    // What the primary sends to one that stands still is in the network's buffers, and ends with it.
    signalAll('SIGSTOP');
    await wait(1000);
    await network.postgres.stop('SIGKILL');
    signalAll('SIGKILL');
    await replica.process.exited;
    await rm(join(backup, 'standby.signal'));
    for (const file of ['postmaster.pid', 'postmaster.opts']) await rm(join(backup, file), { force: true });
    await takeTheOther(network, base, backup);
    return {
      detail: 'PostgreSQL is lost; its replica goes on without the last second',
      heal: async () => undefined,
      databaseWentBack: true,
    };
  },
};

async function caughtUp(network: ChaosNetwork): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const behind = await withClient(network.postgres.url(), async (client) => {
      const { rows } = await client.query<{ behind: string }>(
        "select pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) as behind from pg_stat_replication where state = 'streaming'",
      );
      return rows[0] ? Number(rows[0].behind) : null;
    });
    if (behind !== null && behind < 262_144) return;
    if (performance.now() > deadline) throw new Error(`the replica did not catch up: ${behind} bytes behind`);
    await wait(200);
  }
}

export const databaseBackFaults: readonly Fault[] = [restoredFault, failoverFault];
