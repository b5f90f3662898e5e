import { createHash } from 'node:crypto';
import type { TlsFacts } from '../../shared/result.ts';
import type { Sql } from '../store/database.ts';
import { tlsFactsJson } from '../store/tls-facts-json.ts';
import { type CertificateRow, upsertCertificates } from '../store/upsert-certificates.ts';
import type { VerifiedBatch } from './verify.ts';

/** Which certificates' facts are stored, and under which ids. */
export interface Certificates {
  /** Stores what these batches show and is not stored yet, within bounds. */
  learn(sql: Sql, batches: readonly VerifiedBatch[]): Promise<void>;
  /** Null for one that is not known: its facts are then to stand in the row itself. */
  idOf(facts: TlsFacts): bigint | null;
  /** After trouble: the database may be another one, or put back to a backup. */
  forget(): void;
}

/** Some 400 bytes each; a hundred thousand hosts are more than one hub checks. */
const mostKept = 100_000;
/** In one call: more are a liar's, and stand in his own rows. */
const mostNew = 2000;
const dayMs = 86_400_000;

/** `now`: epoch milliseconds. Once a day each is looked up anew, which notes that it is still seen. */
export function createCertificates(now: () => number = Date.now): Certificates {
  let [kept, older] = [new Map<string, bigint>(), new Map<string, bigint>()];
  let day = -1;

  function known(name: string): bigint | undefined {
    const id = kept.get(name) ?? older.get(name);
    if (id !== undefined && !kept.has(name)) keep(name, id);
    return id;
  }

  /** Two halves: when one is full, what was not asked for since it was begun is forgotten. */
  function keep(name: string, id: bigint): void {
    if (kept.size >= mostKept / 2) [kept, older] = [new Map(), kept];
    kept.set(name, id);
  }

  function forget(): void {
    [kept, older] = [new Map(), new Map()];
  }

  return {
    async learn(sql, batches) {
      const today = Math.floor(now() / dayMs);
      if (today !== day) forget();
      day = today;
      const unknown = new Map<string, TlsFacts>();
      for (const { results } of batches) {
        for (const { tls } of results) {
          if (tls === null || unknown.size >= mostNew) continue;
          const name = nameOf(tls);
          if (known(name) === undefined) unknown.set(name, tls);
        }
      }
      if (unknown.size === 0) return;
      const rows = [...unknown].map(([name, facts]) => ({ name, ...rowOf(facts) }));
      await upsertCertificates(sql, rows);
      for (const { name, id } of rows) keep(name, id);
    },
    idOf: (facts) => known(nameOf(facts)) ?? null,
    forget,
  };
}

/** All facts count: a fingerprint is only what some probe says, and the same certificate comes with several ciphers. */
function nameOf({ fingerprint, version, cipher, notAfter, issuer }: TlsFacts): string {
  return `${fingerprint} ${notAfter} ${version} ${cipher} ${issuer}`;
}

function rowOf(facts: TlsFacts): CertificateRow {
  const json = tlsFactsJson(facts);
  return { id: createHash('sha256').update(json).digest().readBigInt64BE(), facts: json };
}

const learned = new WeakMap<object, Certificates>();

/** One memory for all that is stored through the same connections. */
export function certificatesOf(db: object): Certificates {
  const certificates = learned.get(db) ?? createCertificates();
  learned.set(db, certificates);
  return certificates;
}
