import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { SettingsError } from '../settings.ts';
import { claimNote } from '../store/claim-note.ts';
import type { Database, Sql } from '../store/database.ts';
import { readHubNote, writeHubNote } from '../store/hub-notes.ts';

const note = 'secret_check';

/**
 * Throws SettingsError where neither PARALLAX_SECRET nor one of `also` is the one that this database's credentials are
 * sealed with. The first secret is noted (by a value from which it cannot be found); another may take its place while
 * nothing is sealed, or when `parallax secret rotate` is done.
 */
export async function checkSecret(
  db: Database,
  secret: Uint8Array,
  also: readonly Uint8Array[] = [],
): Promise<void> {
  const check = checkValue(secret);
  if (await claimNote(db, note, { check })) return;
  const noted = (await readHubNote(db, note)) as { check?: unknown } | null;
  const known = [secret, ...also].map(checkValue);
  if (known.some((one) => typeof noted?.check === 'string' && same(noted.check, one))) return;
  const { sealed } = await db.one<{ sealed: number }>(
    "select count(*) as sealed from endpoints where deleted_at is null and sealed <> '{}'",
  );
  if (sealed === 0) return writeHubNote(db, note, { check });
  throw new SettingsError([
    `PARALLAX_SECRET is not the one that the credentials of ${sealed === 1 ? 'an endpoint' : `${sealed} endpoints`} in this database are sealed with: set the one they were written with, as PARALLAX_SECRET or, to change it, as PARALLAX_SECRET_ALSO`,
  ]);
}

/** For the transaction that finds everything sealed with it. */
export async function noteSecret(sql: Sql, secret: Uint8Array): Promise<void> {
  await writeHubNote(sql, note, { check: checkValue(secret) });
}

/** Tells secrets apart and tells nothing of them. */
export function secretMark(secret: Uint8Array): string {
  return checkValue(secret).slice(0, 12);
}

function checkValue(secret: Uint8Array): string {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'parallax/check/v1', 32));
  return createHmac('sha256', key).update('parallax').digest('hex');
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
