import { resultKey } from '../flow/spool-witness.ts';
import { durableIsCommitted } from './invariants/durable.ts';
import { exactlyOnce } from './invariants/exactly-once.ts';
import type { Evidence, Finding } from './invariants/invariant.ts';
import { underLease } from './invariants/lease.ts';
import { withinPolicy } from './invariants/policy.ts';
import { signedAndPlaced } from './invariants/region.ts';
import type { KafkaLog } from './kafka-log.ts';
import type { ChaosNetwork } from './network.ts';

/**
 * The invariants of the design by their numbers. 2, that rollups equal a recount, has nothing to look at before there
 * are rollups. 7 is measured all the time (bounded.ts), 8 by the wait for recovery (recovery.ts).
 */
const invariants = [exactlyOnce, signedAndPlaced, withinPolicy, underLease, durableIsCommitted];

export type Allowed = Pick<Evidence, 'destroyed' | 'mayReject' | 'databaseWentBack' | 'untilMs'>;

/** Gathers the evidence from outside, and holds every invariant against it. */
export async function check(network: ChaosNetwork, log: KafkaLog, allowed: Allowed): Promise<Finding> {
  // In this order: what is stored was signed before, what is signed was acknowledged before.
  const stored = await storedKeys(network);
  const signed = await log.read();
  const acknowledged = await network.spools.read();
  const evidence: Evidence = { network, acknowledged, stored, signed, ...allowed };
  const findings: Finding[] = [];
  for (const invariant of invariants) findings.push(await invariant(evidence));
  return {
    violations: findings.flatMap(({ violations }) => violations),
    counts: Object.assign(
      { acknowledged: acknowledged.size, stored: stored.size },
      ...findings.map(({ counts }) => counts),
    ),
  };
}

export async function storedKeys(network: ChaosNetwork): Promise<ReadonlySet<string>> {
  const rows = await network.db().many<{
    endpointId: number;
    regionId: number;
    probeId: number;
    scheduledAt: number;
  }>(
    `select endpoint_id as "endpointId", region_id as "regionId", probe_id as "probeId",
            (extract(epoch from scheduled_at) * 1000000)::int8 as "scheduledAt" from results`,
  );
  return new Set(rows.map(resultKey));
}
