import type { StreamClaim } from '../ingest/verify.ts';
import { int8Array, textArray, timestamptzArray } from './binary-array.ts';
import type { Sql } from './database.ts';

/** What probes say their spools had to drop. */
export async function insertGaps(sql: Sql, claims: readonly StreamClaim[]): Promise<number> {
  const rows = claims.flatMap((claim) => claim.gaps.map((gap) => ({ claim, gap })));
  if (rows.length === 0) return 0;
  return sql.run(
    `insert into gaps (
       stream, seq, probe_id, from_seq, to_seq, results, from_scheduled_at, to_scheduled_at, reason)
     select * from unnest(
       $1::text[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::timestamptz[],
       $8::timestamptz[], $9::text[])
     on conflict do nothing`,
    [
      textArray(rows.map(({ claim }) => claim.stream)),
      int8Array(rows.map(({ claim }) => claim.seq)),
      int8Array(rows.map(({ claim }) => claim.probeId)),
      int8Array(rows.map(({ gap }) => gap.fromSeq)),
      int8Array(rows.map(({ gap }) => gap.toSeq)),
      int8Array(rows.map(({ gap }) => gap.results)),
      timestamptzArray(rows.map(({ gap }) => gap.fromScheduledAt)),
      timestamptzArray(rows.map(({ gap }) => gap.toScheduledAt)),
      textArray(rows.map(({ gap }) => gap.reason)),
    ],
  );
}
