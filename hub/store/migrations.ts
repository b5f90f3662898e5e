import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** One step of the schema: `NNNN_name_update.sql` and what takes it back, `NNNN_name_rollback.sql`. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly update: string;
  readonly rollback: string;
  /** SHA-256 of the update file with line ends as \n, so that a checkout on Windows reads the same. */
  readonly checksum: string;
}

/** The package's own folder: beside dist/ in an installed package, at the top of a checkout. */
export function migrationsDir(from: string = import.meta.dirname): string {
  for (let dir = from; dirname(dir) !== dir; dir = dirname(dir)) {
    const candidate = join(dir, 'migrations');
    if (existsSync(join(dir, 'package.json')) && existsSync(candidate)) return candidate;
  }
  throw new Error(
    `no migrations folder above ${from}: the installation is not whole, install Parallax again`,
  );
}

const fileName = /^(\d{4})_([a-z0-9_]+)_(update|rollback)\.sql$/;

/** All of them in order. Throws where one has no rollback, a number is used twice or missing, or a file is not ours. */
export async function readMigrations(dir: string): Promise<readonly Migration[]> {
  const files = (await readdir(dir)).filter((file) => file.endsWith('.sql')).sort();
  const found = new Map<number, { name: string; update?: string; rollback?: string }>();
  for (const file of files) {
    const [, number, name, kind] = fileName.exec(file) ?? [];
    if (!number || !name || !kind) {
      throw new Error(`${join(dir, file)}: not named NNNN_name_update.sql or NNNN_name_rollback.sql`);
    }
    const version = Number(number);
    const entry = found.get(version) ?? { name };
    if (entry.name !== name) throw new Error(`${dir}: ${number} is both ${entry.name} and ${name}`);
    const text = (await readFile(join(dir, file), 'utf8')).replaceAll('\r\n', '\n');
    found.set(version, { ...entry, [kind]: text });
  }
  return [...found].map(([version, { name, update, rollback }], index) => {
    if (update === undefined || rollback === undefined) {
      throw new Error(`${dir}: ${name} lacks its ${update === undefined ? 'update' : 'rollback'} file`);
    }
    if (version !== index + 1)
      throw new Error(`${dir}: ${version} (${name}) where ${index + 1} should stand`);
    return { version, name, update, rollback, checksum: createHash('sha256').update(update).digest('hex') };
  });
}
