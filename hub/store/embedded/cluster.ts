import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { giveTo, type Place } from './place.ts';
import { diskFullMessage, EmbeddedPostgresError, fileProblem } from './problem.ts';

export const superuser = 'parallax';
const initdbDeadlineMs = 120_000;
/** What an empty cluster and its first WAL segments take. */
const leastFreeBytes = 150 * 1024 * 1024;

/** Makes the cluster where there is none; refuses one it cannot run. Returns the password. */
export async function makeCluster(
  place: Place,
  binaries: Binaries,
  account: Account | null,
  options: { readonly sync: boolean; readonly signal: AbortSignal },
): Promise<string> {
  const version = await readFile(join(place.data, 'PG_VERSION'), 'utf8').catch(() => null);
  // Empty is what a power cut may leave of a file.
  if (version === null || version.trim() === '') {
    await refuseForeignFiles(place);
    return initialize(place, binaries, account, options);
  }
  if (version.trim() !== binaries.major) {
    throw new EmbeddedPostgresError(
      'other_version',
      `${place.data} was made by PostgreSQL ${version.trim()}, this is ${binaries.major}: run the release it was made with and dump it, or move the folder away to begin with an empty database`,
    );
  }
  const password = await readFile(passwordFile(place), 'utf8').catch(() => '');
  return password.trim() || resetPassword(place, binaries, account, options.signal);
}

async function refuseForeignFiles(place: Place): Promise<void> {
  const files = await readdir(place.data).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw fileProblem(error, place.data);
  });
  if (files.length === 0) return;
  throw new EmbeddedPostgresError(
    'corrupted',
    `${place.data} is not a whole PostgreSQL data folder (PG_VERSION is missing or empty): restore it from a backup, or move it away to begin with an empty database`,
  );
}

/** In a folder of its own that takes its name at the end: one that was killed half-way leaves no half cluster. */
async function initialize(
  place: Place,
  binaries: Binaries,
  account: Account | null,
  { sync, signal }: { readonly sync: boolean; readonly signal: AbortSignal },
): Promise<string> {
  const password = randomBytes(24).toString('base64url');
  const draft = join(place.base, 'draft');
  const passwordDraft = join(draft, 'password');
  const cluster = join(draft, 'data');
  try {
    const { bavail, bsize } = await statfs(place.base);
    if (bavail * bsize < leastFreeBytes) {
      throw new EmbeddedPostgresError('disk_full', diskFullMessage(place.base));
    }
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { mode: 0o700 });
    await giveTo(draft, account);
    await writeFile(passwordDraft, password, { mode: 0o600 });
    await giveTo(passwordDraft, account);
    // The builtin C.UTF-8 sorts alike on every machine, whatever locales it has.
    const args = ['-D', cluster, '-U', superuser, `--pwfile=${passwordDraft}`, '--auth=scram-sha-256'];
    args.push('--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8');
    args.push('--set=timezone=UTC', '--set=log_timezone=UTC', ...(sync ? [] : ['--no-sync']));
    await run(binaries.initdb, args, account, place, signal);
    await writeFile(passwordFile(place), `${password}\n`, { mode: 0o600 });
    await chmod(passwordFile(place), 0o600);
    await rename(cluster, place.data);
    await rm(draft, { recursive: true });
    return password;
  } catch (error) {
    if (error instanceof EmbeddedPostgresError) throw error;
    throw fileProblem(error, place.base);
  }
}

/** The folder belongs to us, so a lost password file loses nothing: the single-user server takes a new one. */
async function resetPassword(
  place: Place,
  binaries: Binaries,
  account: Account | null,
  signal: AbortSignal,
): Promise<string> {
  const password = randomBytes(24).toString('base64url');
  const statement = `alter role ${superuser} password '${password}'\n`;
  await run(binaries.postgres, ['--single', '-D', place.data, 'postgres'], account, place, signal, statement);
  await writeFile(passwordFile(place), `${password}\n`, { mode: 0o600 }).catch((error: unknown) => {
    throw fileProblem(error, passwordFile(place));
  });
  return password;
}

function passwordFile(place: Place): string {
  return join(place.base, 'password');
}

/** PostgreSQL reads PG* and locale variables; none of the caller's shall steer it. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: 'C' };
}

function run(
  file: string,
  args: readonly string[],
  account: Account | null,
  place: Place,
  signal: AbortSignal,
  input = '',
): Promise<void> {
  return new Promise((done, failed) => {
    const child = execFile(
      file,
      [...args],
      {
        env: serverEnvironment(),
        // The caller's own folder may be closed to the account.
        cwd: '/',
        ...(account && { uid: account.uid, gid: account.gid }),
        signal,
        timeout: initdbDeadlineMs,
        maxBuffer: 1024 * 1024,
      },
      (error, stdout, stderr) => {
        if (!error) return done();
        if (signal.aborted) return failed(signal.reason as Error);
        failed(commandProblem(error, `${stdout}\n${stderr}`, place));
      },
    );
    child.stdin?.end(input);
  });
}

function commandProblem(error: Error, output: string, place: Place): EmbeddedPostgresError {
  const cause = { cause: error };
  if (/No space left on device/.test(output)) {
    return new EmbeddedPostgresError('disk_full', diskFullMessage(place.base), cause);
  }
  if ('code' in error && error.code === 'EPERM') {
    return new EmbeddedPostgresError(
      'account',
      `this process is root but may not become another user, which PostgreSQL asks for: start as an ordinary user, or set DATABASE_URL`,
      cause,
    );
  }
  const said = /(?:FATAL|PANIC|error):\s*(.+)/.exec(output)?.[1] ?? error.message.split('\n')[0];
  return new EmbeddedPostgresError('failed', `PostgreSQL could not make ${place.data}: ${said}`, cause);
}

/** True where the folder holds a cluster already. */
export async function hasCluster(place: Place): Promise<boolean> {
  return stat(join(place.data, 'PG_VERSION')).then(
    () => true,
    () => false,
  );
}
