import { type Evidence, type Finding, type Violation, violated } from './invariant.ts';

/** Of a probe's idea of hub time, which is slewed, and of the hub's that signed. */
const slackMs = 5000;

/**
 * 5. No check runs under an expired, older or foreign lease. Compares when each signed result was started with the
 * leases that the links to the hubs have seen for its probe until then (they live for a minute here). Cannot see a lease
 * that a fault kept from arriving: it then believes the probe to have had it.
 * Slots that two probes of a region both ran are counted: a probe that is cut off goes on under its lease, by design.
 */
export async function underLease({ network, signed, settledUs }: Evidence): Promise<Finding> {
  const late: string[] = [];
  for (const [key, { probeId, scheduledAt, startedAt }] of signed) {
    if (probeId === network.liar.probeId || scheduledAt < settledUs) continue;
    const atMs = startedAt / 1000;
    const until = network.leases.leasedUntil(probeId, atMs + slackMs);
    if (until === null || until * 1000 + slackMs < atMs) {
      late.push(`${key} started at ${new Date(atMs).toISOString()}, leased until ${until}`);
    }
  }
  const violations: Violation[] =
    late.length > 0 ? [violated('5 lease', `${late.length} checks ran under no lease`, late)] : [];
  const { doubled } = await network.db().one<{ doubled: number }>(
    `select count(*)::int8 as doubled from (
       select 1 from results where kind = 0 group by endpoint_id, region_id, scheduled_at having count(*) > 1) as d`,
  );
  return { violations, counts: { 'slots run by two': doubled, leases: network.leases.seen() } };
}
