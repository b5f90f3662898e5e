import type { ChaosNetwork } from '../network.ts';
import { type Evidence, type Finding, type Violation, violated } from './invariant.ts';

/**
 * 3. The stored region is the registry's region for the signing key, and nothing is stored that no key signed. Compares
 * the results table with Kafka's log read back, each signature looked at anew. Where retention dropped
 * messages before they were read here, a spool that held the result has to do.
 */
export async function signedAndPlaced(evidence: Evidence): Promise<Finding> {
  const { network, stored, signed, missed, acknowledged, settledUs } = evidence;
  const violations: Violation[] = [];
  const forged = [...network.liar.lies].filter((key) => stored.has(key));
  if (forged.length > 0) violations.push(violated('3 region', 'lies were stored', forged));
  const fresh = [...stored].filter((key) => Number(key.split('|')[2]) >= settledUs);
  const unsigned = fresh.filter((key) => !signed.has(key) && (missed === 0 || !acknowledged.has(key)));
  if (unsigned.length > 0) {
    violations.push(
      violated('3 region', `${unsigned.length} rows that nobody signed for that region and probe`, unsigned),
    );
  }
  const strangers = fresh.filter((key) => signed.has(key) && !acknowledged.has(key));
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
  const { sent, refused } = await liesRefused(network);
  if (refused < sent) {
    violations.push(
      violated(
        '1 exactly once',
        `${sent} lies were sent, and only ${refused} are counted as refused`,
        [...network.liar.told].map(([kind, count]) => `${kind}: ${count}`),
      ),
    );
  }
  return { violations, counts: { forged: forged.length + unsigned.length + strangers.length, lies: sent } };
}

/** Lies that Kafka took, and what the hub counts as refused of the liar, or under a name it stole. */
export async function liesRefused(network: ChaosNetwork): Promise<{ sent: number; refused: number }> {
  const sent = [...network.liar.told.values()].reduce((sum, count) => sum + count, 0);
  const { refused } = await network.db().one<{ refused: number }>(
    `select coalesce(sum(count), 0)::int8 as refused from reject_counts
     where probe_id = $1::int8 or reason = 'bad_signature'`,
    [network.liar.probeId],
  );
  return { sent, refused };
}
