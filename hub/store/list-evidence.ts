import type { Evidence } from '../../shared/evidence.ts';
import type { Result } from '../../shared/result.ts';
import type { Sql } from './database.ts';
import { type ResultRow, type ResultsQuery, resultColumns, resultOf, valuesOf } from './list-results.ts';

/** What was seen of one failure, and the result it belongs to where that is still kept. */
export interface EvidenceOfResult {
  readonly regionId: number;
  /** Epoch microseconds. */
  readonly scheduledAt: number;
  readonly probeId: number;
  readonly content: Evidence;
  readonly result: Result | null;
}

interface EvidenceRow extends ResultRow {
  own_region: number;
  own_us: number;
  own_probe: number;
  content: Evidence;
  kept: boolean;
}

const text = `
select e.region_id as own_region, (extract(epoch from e.scheduled_at) * 1000000)::int8 as own_us,
  e.probe_id as own_probe, e.content, r.endpoint_id is not null as kept, ${resultColumns}
from evidence e
left join results r on r.endpoint_id = e.endpoint_id and r.region_id = e.region_id
  and r.scheduled_at = e.scheduled_at and r.probe_id = e.probe_id
where e.endpoint_id = $1::int8 and e.region_id = any($2::int2[])
  and e.scheduled_at >= $3::timestamptz and e.scheduled_at < $4::timestamptz
  and (e.scheduled_at, e.region_id, e.probe_id) < ($5::timestamptz, $6::int2, $7::int8)
order by e.scheduled_at desc, e.region_id desc, e.probe_id desc
limit $8::int`;

/** Newest first. */
export async function listEvidence(sql: Sql, query: ResultsQuery): Promise<EvidenceOfResult[]> {
  const rows = await sql.many<EvidenceRow>(text, valuesOf(query));
  return rows.map((row) => ({
    regionId: row.own_region,
    scheduledAt: row.own_us,
    probeId: row.own_probe,
    content: row.content,
    result: row.kept ? resultOf(row) : null,
  }));
}
