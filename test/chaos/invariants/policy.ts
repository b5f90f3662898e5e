import { type Evidence, type Finding, type Violation, violated } from './invariant.ts';

/**
 * 4. No connection leaves a probe outside its policy. Endpoints point to a listener that no probe may reach: it counts
 * who connects, and what is stored of those endpoints must be a refusal. Cannot see connections to anywhere else.
 */
export async function withinPolicy({ network }: Evidence): Promise<Finding> {
  const violations: Violation[] = [];
  const trespasses = network.targets.trespasses();
  if (trespasses > 0) {
    violations.push(violated('4 policy', `${trespasses} connections to a forbidden address`, []));
  }
  const rows = await network.db().many<{ name: string; outcome: number; failure_code: string | null }>(
    `select distinct e.name, r.outcome::int, r.failure_code from results r join endpoints e on e.id = r.endpoint_id
     where e.name like 'decoy-%' and (r.failure_code is null or r.failure_code not like 'policy.%')
       and coalesce(r.failure_code, '') not like 'probe.%'`,
  );
  if (rows.length > 0) {
    violations.push(
      violated(
        '4 policy',
        'forbidden endpoints were checked',
        rows.map((row) => JSON.stringify(row)),
      ),
    );
  }
  return { violations, counts: { trespasses } };
}
