import type { Sql } from './database.ts';

/** A probe may check an older rev for as long as its lease holds: seven days at the most (PARALLAX_LEASE_TTL), and a day. */
const longestLease = '8 days';

/**
 * Revs that no stored result can be of any more: replaced, or of an endpoint that was deleted, before what is kept and
 * the longest lease. The one in force stays, however old. At most `limit` a call.
 */
export async function deleteForgottenRevs(sql: Sql, oldestUs: number, limit = 10_000): Promise<number> {
  return sql.run(
    `delete from endpoint_revs where ctid = any(array(
       select r.ctid from endpoint_revs r
       join endpoints e on e.id = r.endpoint_id
       left join lateral (
         select changed_at from endpoint_revs later
         where later.endpoint_id = r.endpoint_id and later.rev > r.rev order by later.rev limit 1) n on true
       where coalesce(n.changed_at, e.deleted_at) < $1::timestamptz - interval '${longestLease}'
       limit $2::int))`,
    [new Date(oldestUs / 1000), limit],
  );
}
