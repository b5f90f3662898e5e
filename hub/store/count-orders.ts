import type { Sql } from './database.ts';

/** How many checks somebody asked for within the last minute, over all replicas. */
export async function countOrders(sql: Sql, askedBy: string): Promise<number> {
  const { count } = await sql.one<{ count: number }>(
    `select count(*)::int4 as count from orders
     where asked_by = $1::text and asked_at > clock_timestamp() - interval '1 minute'`,
    [askedBy],
  );
  return count;
}
