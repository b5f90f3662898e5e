import { readEvidence } from '../../shared/evidence.ts';
import { int2Array, int8Array, textArray, timestamptzArray } from './binary-array.ts';
import type { Sql } from './database.ts';
import type { ResultRow } from './insert-results.ts';

/** Of the failures that have some, which are few: a probe that lies gets no room with it for all it says. */
export async function insertEvidence(sql: Sql, rows: readonly ResultRow[]): Promise<number> {
  // As it was read: what this version does not know is not stored.
  const found = rows.flatMap(({ regionId, result }) => {
    const { outcome, suspect, evidence } = result;
    const isTold = evidence !== null && outcome === 'down' && !suspect;
    const content = isTold ? readEvidence(evidence) : null;
    return content ? [{ regionId, result, content: JSON.stringify(content) }] : [];
  });
  if (found.length === 0) return 0;
  return sql.run(
    `insert into evidence (endpoint_id, region_id, scheduled_at, probe_id, content)
     select endpoint_id, region_id, scheduled_at, probe_id, content::jsonb
     from unnest($1::int8[], $2::int2[], $3::timestamptz[], $4::int8[], $5::text[])
       as t (endpoint_id, region_id, scheduled_at, probe_id, content)
     on conflict do nothing`,
    [
      int8Array(found.map(({ result }) => result.endpointId)),
      int2Array(found.map(({ regionId }) => regionId)),
      timestamptzArray(found.map(({ result }) => result.scheduledAt)),
      int8Array(found.map(({ result }) => result.probeId)),
      textArray(found.map(({ content }) => content)),
    ],
  );
}
