import { createHmac, timingSafeEqual } from 'node:crypto';
import { claimNote } from '../store/claim-note.ts';
import type { Database } from '../store/database.ts';
import { readHubNote, writeHubNote } from '../store/hub-notes.ts';
import type { HubKeys } from './keys.ts';
import { KeysError } from './keys-error.ts';
import { subkey } from './subkey.ts';

const note = 'keys_check';

/**
 * Throws KeysError where these are not the keys that this database was written with: a hub with a new set would run,
 * and believe no probe and no endpoint in it. The first set is noted (by a value from which it cannot be found);
 * another may take its place while there is neither.
 */
export async function checkKeys(db: Database, { hmac }: Pick<HubKeys, 'hmac'>): Promise<void> {
  const check = createHmac('sha256', subkey(hmac, 'check')).update('parallax').digest('hex');
  if (await claimNote(db, note, { check })) return;
  const noted = (await readHubNote(db, note)) as { check?: unknown } | null;
  if (typeof noted?.check === 'string' && same(noted.check, check)) return;
  const { rows } = await db.one<{ rows: number }>(
    `select (select count(*) from probes where status <> 'revoked')
          + (select count(*) from endpoints where deleted_at is null) as rows`,
  );
  if (rows === 0) return writeHubNote(db, note, { check });
  throw new KeysError(
    'foreign',
    `the keys in PARALLAX_KEYS are not those that the ${rows} probes and endpoints in this database were written with: name the folder they are in, or bring it back from a backup`,
  );
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
