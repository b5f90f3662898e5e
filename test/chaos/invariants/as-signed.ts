import { saidByRows } from '../said.ts';
import { type Evidence, type Finding, type Violation, violated } from './invariant.ts';

/**
 * 1 and 3, by what stands in the rows: each says what its probe signed, whole, and the newest of a pair is the newest
 * there is. Compares the table with Kafka's log read back. Cannot see facts of certificates where there are none.
 */
export async function asSigned({ network, signed, settledUs }: Evidence): Promise<Finding> {
  const db = network.db();
  const violations: Violation[] = [];
  const changed: string[] = [];
  for (const [key, stored] of await saidByRows(db, settledUs)) {
    const said = signed.get(key)?.said;
    // A row that nobody signed is told of by region.ts.
    if (said && !said.has(stored)) changed.push(`${key}: stored ${stored}, signed ${[...said].join(' or ')}`);
  }
  if (changed.length > 0) {
    violations.push(violated('3 region', `${changed.length} rows say what nobody signed`, changed));
  }
  const stale = await db.many<{ pair: string }>(
    `select l.endpoint_id || '|' || l.region_id || ': latest_results has that of ' || l.scheduled_at ||
            ', results has ' || n.scheduled_at as pair
     from latest_results l cross join lateral (
       select r.scheduled_at from results r where r.endpoint_id = l.endpoint_id and r.region_id = l.region_id
       order by r.scheduled_at desc limit 1) n
     where l.scheduled_at <> n.scheduled_at or not exists (
       select from results r where (r.endpoint_id, r.region_id, r.scheduled_at, r.probe_id, r.outcome, r.total_us) =
         (l.endpoint_id, l.region_id, l.scheduled_at, l.probe_id, l.outcome, l.total_us))`,
  );
  if (stale.length > 0) {
    const pairs = stale.map(({ pair }) => pair);
    violations.push(violated('1 exactly once', `${stale.length} pairs whose newest is another`, pairs));
  }
  return { violations, counts: {} };
}
