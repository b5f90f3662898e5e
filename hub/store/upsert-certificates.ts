import { textArray } from './binary-array.ts';
import type { Sql } from './database.ts';

/** A certificate's facts as they are stored. */
export interface CertificateRow {
  /** 64 bits of a digest of `facts`. */
  readonly id: bigint;
  /** JSON text. */
  readonly facts: string;
}

/**
 * Makes what is missing and notes of all that they were seen today. Not within a transaction that may wait for others:
 * who adds a certificate holds up whoever adds the same one.
 */
export async function upsertCertificates(sql: Sql, certificates: readonly CertificateRow[]): Promise<number> {
  // In one order, so that no two wait in a circle.
  const sorted = certificates.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return sql.run(
    `insert into certificates as c (id, facts)
     select o.id::int8, o.facts::jsonb from unnest($1::text[], $2::text[]) as o (id, facts)
     on conflict (id) do update set seen_on = excluded.seen_on where c.seen_on < excluded.seen_on`,
    [textArray(sorted.map(({ id }) => String(id))), textArray(sorted.map(({ facts }) => facts))],
  );
}

/** Those that no result points to any more: two days' grace for clocks and for what is on its way. At most `limit`. */
export async function deleteForgottenCertificates(
  sql: Sql,
  oldestUs: number,
  limit = 10_000,
): Promise<number> {
  return sql.run(
    // The date twice: one that is seen again just now, while this waits for its row, stays.
    `delete from certificates where seen_on < to_timestamp($1::float8)::date - 2 and id = any(array(
       select id from certificates where seen_on < to_timestamp($1::float8)::date - 2 limit $2::int))`,
    [oldestUs / 1_000_000, limit],
  );
}
