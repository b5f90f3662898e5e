import type { Durable } from '../../shared/lease.ts';
import { int8Array, textArray } from './binary-array.ts';
import type { Sql } from './database.ts';

export interface AskedStream {
  readonly probeId: number;
  readonly stream: string;
}

/**
 * How far these streams are committed: what leases say is durable, by probe. A stream that is not in the answer is not
 * known here, or is another probe's.
 */
export async function selectDurable(
  sql: Sql,
  asked: readonly AskedStream[],
): Promise<Map<number, Durable[]>> {
  const found = new Map<number, Durable[]>();
  if (asked.length === 0) return found;
  const rows = await sql.many<{ probeId: number; stream: string; upTo: number }>(
    `select distinct s.probe_id as "probeId", s.stream, s.up_to as "upTo"
     from unnest($1::int8[], $2::text[]) as a (probe_id, stream)
     join streams s on s.stream = a.stream and s.probe_id = a.probe_id
     order by 1, 2`,
    [int8Array(asked.map((one) => one.probeId)), textArray(asked.map((one) => one.stream))],
  );
  for (const { probeId, stream, upTo } of rows) {
    const durable = found.get(probeId) ?? [];
    durable.push({ stream, upTo });
    found.set(probeId, durable);
  }
  return found;
}
