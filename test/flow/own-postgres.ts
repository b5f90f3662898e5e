import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from '../../hub/process/port.ts';
import { accountFor } from '../../hub/store/embedded/account.ts';
import { until } from '../hub/ingest/until.ts';

/** The machine's own PostgreSQL with all its tools, such as Debian's package brings; what operators make backups with. */
export interface OwnPostgres {
  /** Of a database by that name. */
  url(database: string): string;
  /** Where finished WAL segments are copied to. */
  readonly archive: string;
  /** A folder that the server's user may write to. */
  folder(name: string): Promise<string>;
  /** Runs one of its tools as the server's user, with this server as default; gives what it printed. */
  tool(name: string, args: readonly string[]): Promise<string>;
  sql(database: string, text: string): Promise<void>;
  stop(): Promise<void>;
  /** As a machine that is gone. */
  kill(): Promise<void>;
  /** From now on it runs on what `backup` holds, recovered from the archive up to `target`. The same port. */
  recover(backup: string, target: Date): Promise<void>;
  end(): Promise<void>;
}

/** The newest of the machine, or null, said loudly; with REQUIRE_POSTGRES_TOOLS=1 that is a failure. */
export async function postgresTools(): Promise<string | null> {
  const base = '/usr/lib/postgresql';
  const majors = (await readdir(base).catch((): string[] => [])).filter((name) => /^\d+$/.test(name));
  const newest = majors.map(Number).sort((a, b) => b - a)[0];
  if (newest !== undefined) return join(base, String(newest), 'bin');
  const why = `there is no ${base}/*/bin: install PostgreSQL's server and client (apt-get install postgresql)`;
  if (process.env.REQUIRE_POSTGRES_TOOLS === '1') throw new Error(`REQUIRE_POSTGRES_TOOLS=1, and ${why}`);
  console.warn(`\n${'#'.repeat(80)}\n# SKIPPED: backups that are restored. ${why}\n${'#'.repeat(80)}\n`);
  return null;
}

export async function startOwnPostgres(bin: string): Promise<OwnPostgres> {
  const account = await accountFor();
  const top = await mkdtemp(join(tmpdir(), 'parallax-pg-'));
  await chmod(top, 0o711);
  const port = await freePort();
  const as = account ? { uid: account.uid, gid: account.gid } : {};
  const env = {
    PATH: process.env.PATH,
    PGHOST: '127.0.0.1',
    PGPORT: String(port),
    PGUSER: 'parallax',
    TZ: 'UTC',
  };
  const tool = async (name: string, args: readonly string[]) =>
    (await promisify(execFile)(join(bin, name), args, { ...as, env, cwd: '/', maxBuffer: 64 * 1024 * 1024 }))
      .stdout;
  const folder = async (name: string) => {
    const path = join(top, name);
    await mkdir(path, { mode: 0o700 });
    if (account) await chown(path, account.uid, account.gid);
    return path;
  };
  let data = await folder('data');
  const archive = await folder('archive');
  await tool('initdb', ['-D', data, '-U', 'parallax', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N']);
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    wal_level: 'replica',
    archive_mode: 'on',
    archive_command: `test ! -f ${archive}/%f && cp %p ${archive}/%f`,
    // What is not archived yet is lost with the machine: so much at most.
    archive_timeout: '2s',
    max_wal_senders: '4',
    fsync: 'off',
  };
  let server: ChildProcess | null = null;
  let said = '';

  async function start(): Promise<void> {
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn(join(bin, 'postgres'), ['-D', data, ...flags], { ...as, env, cwd: '/' });
    server = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        said = `${said}${part}`.slice(-20_000);
      });
    }
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`PostgreSQL ended: ${said}`);
      const client = new pg.Client({ connectionString: url('postgres'), connectionTimeoutMillis: 2000 });
      client.on('error', () => undefined);
      try {
        await client.connect();
        const { rows } = await client.query('select pg_is_in_recovery() as recovering');
        return rows[0]?.recovering === false;
      } catch {
        return false;
      } finally {
        await client.end().catch(() => undefined);
      }
    }, 60_000);
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const child = server;
    server = null;
    if (!child || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  function url(database: string): string {
    return `postgresql://parallax@127.0.0.1:${port}/${database}`;
  }

  await start();
  return {
    url,
    archive,
    folder,
    tool,
    async sql(database, text) {
      const client = new pg.Client({ connectionString: url(database) });
      await client.connect();
      await client.query(text).finally(() => client.end());
    },
    stop: () => end('SIGINT'),
    // SIGQUIT is the server's own "as if the power had gone"; SIGKILL would leave its children behind.
    kill: () => end('SIGQUIT'),
    async recover(backup, target) {
      data = await folder('recovered');
      await cp(backup, data, { recursive: true, preserveTimestamps: true });
      await writeFile(join(data, 'recovery.signal'), '');
      await writeFile(
        join(data, 'postgresql.auto.conf'),
        `restore_command = 'cp ${archive}/%f %p'\nrecovery_target_time = '${target.toISOString().replace('T', ' ').replace('Z', '+00')}'\nrecovery_target_action = 'promote'\n`,
      );
      if (account) await promisify(execFile)('chown', ['-R', `${account.uid}:${account.gid}`, data]);
      await start();
    },
    async end() {
      await end('SIGQUIT');
      await rm(top, { recursive: true, force: true });
    },
  };
}
