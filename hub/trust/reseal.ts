import type { Database, Sql } from '../store/database.ts';
import { insertAudit } from '../store/insert-audit.ts';
import { lockEndpoints } from '../store/lock-endpoints.ts';
import { readSealedEndpoints, readSealedRevs, updateSealed, updateSealedRev } from '../store/sealed-rows.ts';
import { noteSecret } from './check-secret.ts';
import { endpointRowHolds, signEndpointRow } from './endpoint-rows.ts';
import type { HubKeys } from './keys.ts';
import { createSecretBox, resealDocument } from './sealed-secrets.ts';

export interface ResealOptions {
  readonly db: Database;
  readonly keys: Pick<HubKeys, 'hmac'>;
  /** What everything is sealed with afterwards. */
  readonly secret: Uint8Array;
  /** What it may be sealed with now. */
  readonly also: readonly Uint8Array[];
  readonly dryRun: boolean;
  readonly onProgress?: (so: ResealedRows) => void;
  readonly signal: AbortSignal;
  readonly rowsAtOnce?: number;
}

export interface ResealedRows {
  /** Rows that hold sealed values, and of those the ones sealed anew: of endpoints and of what they were. */
  readonly looked: number;
  readonly changed: number;
  /** Names of endpoints with values that no secret here opens; untouched. */
  readonly lost: readonly string[];
  /** Names of endpoints whose row the hub did not write; untouched. */
  readonly untrusted: readonly string[];
}

/**
 * Seals every credential anew, in transactions of a few rows while hubs go on: one that was interrupted goes on where
 * it was, as what is sealed right keeps its bytes. Where nothing stays behind, the database names the new secret as its
 * own: from then on no hub starts that does not have it.
 */
export async function resealAll(options: ResealOptions): Promise<ResealedRows> {
  const { db, keys, secret, also, dryRun, onProgress, signal, rowsAtOnce = 100 } = options;
  const [from, to] = [createSecretBox(secret, also), createSecretBox(secret)];
  const sum = { looked: 0, changed: 0, lost: [] as string[], untrusted: [] as string[] };

  async function endpoints(sql: Sql, afterId: number): Promise<number | null> {
    const rows = await readSealedEndpoints(sql, afterId, rowsAtOnce);
    for (const row of rows) {
      sum.looked += 1;
      if (!endpointRowHolds(keys.hmac, row)) {
        if (!row.deleted) sum.untrusted.push(row.name);
        continue;
      }
      const { sealed, changed, lost } = resealDocument(from, to, row.id, row);
      if (lost.length > 0 && !row.deleted) sum.lost.push(row.name);
      if (changed === 0) continue;
      sum.changed += 1;
      if (!dryRun) await updateSealed(sql, signEndpointRow(keys.hmac, { ...row, sealed }));
    }
    return rows.at(-1)?.id ?? null;
  }

  async function revs(sql: Sql, after: { id: number; rev: number }) {
    const rows = await readSealedRevs(sql, after, rowsAtOnce);
    for (const row of rows) {
      sum.looked += 1;
      const { sealed, changed } = resealDocument(from, to, row.id, row);
      if (changed === 0) continue;
      sum.changed += 1;
      if (!dryRun) await updateSealedRev(sql, { ...row, sealed });
    }
    return rows.at(-1) ?? null;
  }

  /** One after the other with those who write endpoints: who seals meanwhile is seen, or waits. */
  async function inSteps<Mark>(first: Mark, step: (sql: Sql, after: Mark) => Promise<Mark | null>) {
    for (let mark: Mark | null = first; mark !== null; ) {
      signal.throwIfAborted();
      const after: Mark = mark;
      mark = await db.transaction(async (sql) => {
        if (!dryRun) await lockEndpoints(sql, patienceMs);
        return step(sql, after);
      });
      onProgress?.(sum);
    }
  }

  await inSteps(0, endpoints);
  await inSteps({ id: 0, rev: 0 }, revs);
  if (!dryRun && sum.lost.length === 0) {
    await db.transaction(async (sql) => {
      await noteSecret(sql, secret);
      const after = { looked: sum.looked, changed: sum.changed };
      await insertAudit(sql, {
        actor: 'command line',
        action: 'secret.rotate',
        subject: 'PARALLAX_SECRET',
        after,
      });
    });
  }
  return sum;
}

const patienceMs = 60_000;
