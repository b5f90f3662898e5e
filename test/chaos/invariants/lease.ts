import { type Evidence, type Finding, type Violation, violated } from './invariant.ts';

/** Of a probe's idea of hub time, which is slewed, and of the hub's that signed. */
const slackMs = 5000;

/**
 * 5. No check runs under an expired, older or foreign lease. Compares when each signed result was started with the
 * leases that the links to the hubs have seen for its probe until then (they live for a minute here). Cannot see a lease
 * that a fault kept from arriving: it then believes the probe to have had it. Endpoints of one region alone are in no
 * batch that another region's probe signed; what a revoked probe checks afterwards is not stored.
 * Slots that two probes of a region both ran are counted: a probe that is cut off goes on under its lease, by design.
 */
export async function underLease(evidence: Evidence): Promise<Finding> {
  const { network, signed, settledUs } = evidence;
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
  const foreign = await foreignChecks(evidence);
  if (foreign.length > 0) {
    violations.push(
      violated('5 lease', `${foreign.length} checks of endpoints that another region has`, foreign),
    );
  }
  const { after } = await network.db().one<{ after: number }>(
    `select count(*)::int8 as after from results r join probes p on p.id = r.probe_id
     where p.status = 'revoked' and r.scheduled_at > p.revoked_at + $1::int4 * interval '1 ms'`,
    [slackMs],
  );
  if (after > 0) violations.push(violated('5 lease', `${after} results of revoked probes were stored`, []));
  const { doubled } = await network.db().one<{ doubled: number }>(
    `select count(*)::int8 as doubled from (
       select 1 from results where kind = 0 group by endpoint_id, region_id, scheduled_at having count(*) > 1) as d`,
  );
  return { violations, counts: { 'slots run by two': doubled, leases: network.leases.seen() } };
}

async function foreignChecks({ network, signed }: Evidence): Promise<string[]> {
  const rows = await network
    .db()
    .many<{ id: number; region: string; name: string }>(
      "select id, split_part(name, '-', 2) as region, name from endpoints where name like 'only-%'",
    );
  const regions = await network.db().many<{ id: number; name: string }>('select id, name from regions');
  const regionIds = new Map(regions.map(({ id, name }) => [name, id]));
  const owned = new Map(rows.map(({ id, region, name }) => [id, { regionId: regionIds.get(region), name }]));
  const foreign: string[] = [];
  for (const [key, { regionId, probeId }] of signed) {
    const owner = owned.get(Number(key.split('|')[0]));
    if (owner && owner.regionId !== regionId && probeId !== network.liar.probeId) {
      foreign.push(`${owner.name}: ${key}`);
    }
  }
  return foreign;
}
