import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const deadlineMs = 900_000;

/** Where psql is on this machine; null where it is not installed (Debian: postgresql-client). */
export async function findPsql(): Promise<string | null> {
  return run('psql', ['--version'], { timeout: 10_000 }).then(
    ({ stdout }) => stdout.trim(),
    () => null,
  );
}

/** Writes what a query gives to a file that `copyIn` takes. */
export async function copyOut(url: string, query: string, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'rows.copy');
  await psql(url, `\\copy (${query.replaceAll(/\s+/g, ' ')}) to '${file}' with (format binary)`);
  return file;
}

/** `\copy` of the file into the table, in one transaction: how people load PostgreSQL fast. Returns seconds. */
export async function copyFrom(url: string, table: string, file: string): Promise<number> {
  const startedMs = performance.now();
  await psql(url, `\\copy ${table} from '${file}' with (format binary)`);
  return (performance.now() - startedMs) / 1000;
}

export async function removeCopy(file: string): Promise<void> {
  await rm(file, { force: true });
}

async function psql(url: string, command: string): Promise<void> {
  const args = ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', url, '--command', command];
  await run('psql', args, { timeout: deadlineMs });
}
