import type { Sql } from './database.ts';
import type { OrderRow } from './insert-orders.ts';

/** Orders without an answer whose time is not over. `untilUs`: epoch microseconds. */
export async function listOpenOrders(
  sql: Sql,
): Promise<readonly (OrderRow & { readonly untilUs: number })[]> {
  return sql.many(
    `select id, probe_id as "probeId", region_id as "regionId", content,
       (extract(epoch from until) * 1000000)::int8 as "untilUs"
     from orders where answer is null and until > clock_timestamp() and asked_at > clock_timestamp() - interval '1 minute'
     order by asked_at limit 2000`,
  );
}
