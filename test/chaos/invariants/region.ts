import { type Evidence, type Finding, type Violation, violated } from './invariant.ts';

/**
 * 3. The stored region is the registry's region for the signing key, and nothing is stored that no key signed. Compares
 * the results table with Kafka's log read back, each signature looked at anew. Cannot see a row whose message retention
 * dropped before it was read here; the machine's own log reader follows closely enough.
 */
export async function signedAndPlaced({ network, stored, signed, acknowledged }: Evidence): Promise<Finding> {
  const violations: Violation[] = [];
  const forged = [...network.liar.lies].filter((key) => stored.has(key));
  if (forged.length > 0) violations.push(violated('3 region', 'lies were stored', forged));
  const unsigned = [...stored].filter((key) => !signed.has(key) && !acknowledged.has(key));
  if (unsigned.length > 0) {
    violations.push(violated('3 region', 'rows that no known key signed and no spool held', unsigned));
  }
  const strangers = [...stored].filter((key) => signed.has(key) && !acknowledged.has(key));
  if (strangers.length > 0) {
    violations.push(violated('3 region', 'rows that are signed, and were in no spool', strangers));
  }
  const misplaced = await network.db().many<{ endpoint_id: number; region_id: number; probe_id: number }>(
    `select r.endpoint_id, r.region_id, r.probe_id from results r join probes p on p.id = r.probe_id
     where p.region_id <> r.region_id limit 20`,
  );
  if (misplaced.length > 0) {
    violations.push(
      violated(
        '3 region',
        "rows under another region than their probe's",
        misplaced.map((row) => JSON.stringify(row)),
      ),
    );
  }
  const { told } = network.liar;
  const sent = [...told.values()].reduce((sum, count) => sum + count, 0);
  const { refused } = await network.db().one<{ refused: number }>(
    `select coalesce(sum(count), 0)::int8 as refused from reject_counts
     where probe_id = $1::int8 or reason = 'bad_signature'`,
    [network.liar.probeId],
  );
  if (refused < sent) {
    violations.push(
      violated(
        '1 exactly once',
        `${sent} lies were sent, and only ${refused} are counted as refused`,
        [...told].map(([kind, count]) => `${kind}: ${count}`),
      ),
    );
  }
  return { violations, counts: { forged: forged.length + unsigned.length + strangers.length, lies: sent } };
}
