import type { Sql } from './database.ts';

/**
 * How far these streams of a probe are committed: what its lease says is durable. A stream that is not in the answer
 * is not known here, or is another probe's.
 */
export async function selectDurable(
  sql: Sql,
  probeId: number,
  streams: readonly string[],
): Promise<{ stream: string; upTo: number }[]> {
  return sql.many<{ stream: string; upTo: number }>(
    `select stream, up_to as "upTo" from streams
     where stream = any($1::text[]) and probe_id = $2::int8 order by stream`,
    [streams, probeId],
  );
}
