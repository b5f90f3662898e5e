import type { ApiTokenRow } from '../store/insert-api-token.ts';
import type { SessionRow } from '../store/touch-session.ts';
import { type RowField, rowMac, rowMacHolds } from './row-mac.ts';

type TokenFields = Pick<ApiTokenRow, 'hash' | 'name' | 'scopes' | 'regions' | 'expiresAt'>;
type SessionFields = Pick<SessionRow, 'hash' | 'actor' | 'scopes'>;

/** All that it is good for: who can only write to the database widens no token, and lengthens none. */
function tokenFields({ hash, name, scopes, regions, expiresAt }: TokenFields): RowField[] {
  const end = expiresAt === null ? null : expiresAt.getTime();
  return [hex(hash), name, JSON.stringify(scopes), JSON.stringify(regions), end];
}

function sessionFields({ hash, actor, scopes }: SessionFields): RowField[] {
  return [hex(hash), actor, JSON.stringify(scopes)];
}

export function tokenMac(hmac: Uint8Array, token: TokenFields): Buffer {
  return rowMac(hmac, 'api_token', tokenFields(token));
}

export function tokenRowHolds(hmac: Uint8Array, row: TokenFields & Pick<ApiTokenRow, 'mac'>): boolean {
  return rowMacHolds(hmac, 'api_token', tokenFields(row), row.mac);
}

export function sessionMac(hmac: Uint8Array, session: SessionFields): Buffer {
  return rowMac(hmac, 'session', sessionFields(session));
}

export function sessionRowHolds(hmac: Uint8Array, row: SessionRow): boolean {
  return rowMacHolds(hmac, 'session', sessionFields(row), row.mac);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
