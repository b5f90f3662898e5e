import { createHash } from 'node:crypto';
import type { TlsFacts } from '../../shared/result.ts';
import type { Sql } from '../store/database.ts';
import { upsertCertificates } from '../store/upsert-certificates.ts';
import type { VerifiedBatch } from './verify.ts';

/** The ids of a batch's certificates, result by result; null where there is none, or where it stands in the row itself. */
export type CertificateIds = ReadonlyMap<VerifiedBatch, readonly (bigint | null)[]>;

/** Which certificates' facts are stored, and under which ids. */
export interface Certificates {
  /** Stores what these batches show and is not stored yet, within bounds. */
  idsOf(sql: Sql, batches: readonly VerifiedBatch[]): Promise<CertificateIds>;
  /** After trouble: the database may be another one, or put back to a backup. */
  forget(): void;
}

/** Some 400 bytes each; a hundred thousand hosts are more than one hub checks. */
const mostKept = 100_000;
/** In one call: more are a liar's, and stand in his own rows. */
const mostNew = 2000;
const mostUnderOne = 8;
const dayMs = 86_400_000;

/** `now`: epoch milliseconds. Once a day each is looked up anew, which notes that it is still seen. */
export function createCertificates(now: () => number = Date.now): Certificates {
  let [kept, older] = [new Map<string, Known[]>(), new Map<string, Known[]>()];
  let day = -1;
  let forgotten = 0;

  function known(facts: TlsFacts): bigint | null {
    const { fingerprint } = facts;
    const found = kept.get(fingerprint) ?? older.get(fingerprint);
    const same = found?.find((one) => sameFacts(one.facts, facts));
    if (found && same && !kept.has(fingerprint)) keep(fingerprint, found);
    return same?.id ?? null;
  }

  /** Two halves: when one is full, what was not asked for since it was begun is forgotten. */
  function keep(fingerprint: string, under: Known[]): void {
    if (kept.size >= mostKept / 2) [kept, older] = [new Map(), kept];
    kept.set(fingerprint, under);
  }

  function forget(): void {
    forgotten += 1;
    [kept, older] = [new Map(), new Map()];
  }

  return {
    async idsOf(sql, batches) {
      const today = Math.floor(now() / dayMs);
      if (today !== day) forget();
      day = today;
      const ids = new Map<VerifiedBatch, (bigint | null)[]>();
      const unknown = new Map<bigint, Known & { readonly json: string }>();
      for (const batch of batches) {
        const own = batch.results.map(({ tls }) => {
          if (tls === null) return null;
          const id = known(tls);
          if (id !== null || unknown.size >= mostNew) return id;
          const made = madeOf(tls);
          unknown.set(made.id, made);
          return made.id;
        });
        ids.set(batch, own);
      }
      if (unknown.size === 0) return ids;
      const before = forgotten;
      await upsertCertificates(
        sql,
        Array.from(unknown.values(), ({ id, json }) => ({ id, facts: json })),
      );
      // Stored, perhaps, in a database that is gone by now.
      if (forgotten !== before) return ids;
      for (const { id, facts } of unknown.values()) {
        const others = kept.get(facts.fingerprint) ?? older.get(facts.fingerprint) ?? [];
        // A fingerprint is only what some probe says: one under which many facts come is a liar's.
        keep(facts.fingerprint, [{ id, facts }, ...others].slice(0, mostUnderOne));
      }
      return ids;
    },
    forget,
  };
}

interface Known {
  readonly id: bigint;
  readonly facts: TlsFacts;
}

function madeOf(facts: TlsFacts): Known & { readonly json: string } {
  const { version, cipher, notAfter, issuer, fingerprint } = facts;
  const json = JSON.stringify({ version, cipher, notAfter, issuer, fingerprint });
  return { id: createHash('sha256').update(json).digest().readBigInt64BE(), facts, json };
}

/** All facts count: the same certificate comes with several ciphers. */
function sameFacts(a: TlsFacts, b: TlsFacts): boolean {
  return (
    a.notAfter === b.notAfter && a.issuer === b.issuer && a.cipher === b.cipher && a.version === b.version
  );
}

const learned = new WeakMap<object, Certificates>();

/** One memory for all that is stored through the same connections. */
export function certificatesOf(db: object): Certificates {
  const certificates = learned.get(db) ?? createCertificates();
  learned.set(db, certificates);
  return certificates;
}
