import type { Sql } from './database.ts';

/** Whether this probe was asked, in time, and had not answered: then its answer is kept. */
export async function answerOrder(sql: Sql, id: string, probeId: number, answer: string): Promise<boolean> {
  const kept = await sql.run(
    `update orders set answer = $3::jsonb, answered_at = clock_timestamp()
     where id = $1::text and probe_id = $2::int8 and answer is null and until > clock_timestamp()`,
    [id, probeId, answer],
  );
  return kept === 1;
}
