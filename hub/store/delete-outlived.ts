import type { Sql } from './database.ts';

/** What is kept as long as raw results: rejects, their counts and gap records. At most `limit` rows a table and call. */
export async function deleteOutlived(sql: Sql, oldestUs: number, limit = 10_000): Promise<number> {
  const oldest = new Date(oldestUs / 1000);
  const tables: [table: string, column: string][] = [
    ['rejects', 'at'],
    ['reject_counts', 'hour'],
    ['gaps', 'stored_at'],
  ];
  let deleted = 0;
  for (const [table, column] of tables) {
    deleted += await sql.run(
      `delete from ${table} where ctid = any(array(
         select ctid from ${table} where ${column} < $1::timestamptz limit $2::int))`,
      [oldest, limit],
    );
  }
  return deleted;
}

/** Whatever results are kept for. */
export const evidenceDays = 7;

export async function deleteOutlivedEvidence(sql: Sql, oldestUs: number, limit = 50_000): Promise<number> {
  return sql.run(
    `delete from evidence where ctid = any(array(
       select ctid from evidence where scheduled_at < $1::timestamptz limit $2::int))`,
    [new Date(oldestUs / 1000), limit],
  );
}

/** The newest results of endpoints that were deleted so long ago that no other result of theirs is left. */
export async function deleteForgottenLatest(sql: Sql, oldestUs: number, limit = 10_000): Promise<number> {
  return sql.run(
    `delete from latest_results where (endpoint_id, region_id) in (
       select l.endpoint_id, l.region_id from endpoints e join latest_results l on l.endpoint_id = e.id
       where e.deleted_at < $1::timestamptz limit $2::int)`,
    [new Date(oldestUs / 1000), limit],
  );
}

/**
 * Streams nobody has used for so long, where their probe has a newer one: the spool they numbered is gone. The newest
 * of a probe stays for ever: without it a probe that was away would start again with a hole nobody can close.
 */
export async function deleteForgottenStreams(sql: Sql, oldestUs: number, limit = 1000): Promise<number> {
  return sql.run(
    `delete from streams where stream = any(array(
       select s.stream from streams s
       where s.last_at < $1::timestamptz
         and exists (select from streams n where n.probe_id = s.probe_id and n.last_at > s.last_at)
       order by s.stream limit $2::int for update skip locked))`,
    [new Date(oldestUs / 1000), limit],
  );
}

/** Replicas that said nothing for a day: `parallax status` has shown them long enough. */
export async function deleteForgottenReplicas(sql: Sql): Promise<number> {
  return sql.run("delete from hub_replicas where seen_at < now() - interval '1 day'");
}
