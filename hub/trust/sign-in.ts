import type { Sql } from '../store/database.ts';
import { insertSignInLink } from '../store/insert-sign-in-link.ts';
import { useSignInLink } from '../store/use-sign-in-link.ts';
import type { HubKeys } from './keys.ts';
import { hashOf, isSecret, newSecret } from './secret-text.ts';

export const signInLinkSeconds = 15 * 60;
export const signInPath = '/sign-in';

/**
 * Works once, for 15 minutes. The secret stands in the fragment, which browsers send to nobody: no server, proxy or
 * Referer sees it, and a link scanner that opens the page redeems nothing.
 */
export async function createSignInLink(
  sql: Sql,
  { hmac }: Pick<HubKeys, 'hmac'>,
  publicUrl: string,
): Promise<string> {
  const secret = newSecret();
  await insertSignInLink(sql, hashOf(hmac, secret), signInLinkSeconds);
  return `${publicUrl.replace(/\/+$/, '')}${signInPath}#${secret}`;
}

/** A name for the session of the one call that may sign in by it, null for every other. */
export async function redeemSignInLink(
  sql: Sql,
  { hmac }: Pick<HubKeys, 'hmac'>,
  secret: string,
): Promise<string | null> {
  if (!isSecret(secret)) return null;
  const hash = hashOf(hmac, secret);
  return (await useSignInLink(sql, hash)) ? hash.toString('hex').slice(0, 8) : null;
}
