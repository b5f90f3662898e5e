import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { EmbeddedPostgresError } from './problem.ts';

/** The user PostgreSQL runs as. It refuses root, so root hands it to a user who owns nothing else here. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
}

const candidates = ['postgres', 'nobody'];

/** Null: the present user will do. */
export async function accountFor(uid: number | undefined = process.getuid?.()): Promise<Account | null> {
  if (uid !== 0) return null;
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const accounts = passwd.split('\n').map((line) => line.split(':'));
  for (const name of candidates) {
    const [, , uid, gid] = accounts.find((fields) => fields[0] === name) ?? [];
    if (Number(uid) > 0 && Number(gid) > 0) return { uid: Number(uid), gid: Number(gid), name };
  }
  throw new EmbeddedPostgresError(
    'account',
    `PostgreSQL does not run as root and there is no user ${candidates.join(' or ')} to run it as: start as an ordinary user, or set DATABASE_URL`,
  );
}

/** Whether the account may search every folder above `path`. */
export async function canReach(account: Account, path: string): Promise<boolean> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (!allows(await stat(folder), account, 0o1)) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** Whether mode bits (of 0o7) are given to the account. */
export function allows(file: { uid: number; gid: number; mode: number }, account: Account, bits: number) {
  const shift = file.uid === account.uid ? 6 : file.gid === account.gid ? 3 : 0;
  return ((file.mode >> shift) & bits) === bits;
}
