import { asSigned } from './invariants/as-signed.ts';
import { durableIsCommitted } from './invariants/durable.ts';
import { exactlyOnce } from './invariants/exactly-once.ts';
import {
  type Evidence,
  type Finding,
  type MayReject,
  type Violation,
  violated,
} from './invariants/invariant.ts';
import { underLease } from './invariants/lease.ts';
import { withinPolicy } from './invariants/policy.ts';
import { signedAndPlaced } from './invariants/region.ts';
import { asTargetsAnswered } from './invariants/target-log.ts';
import type { KafkaLog } from './kafka-log.ts';
import type { ChaosNetwork } from './network.ts';
import { keepRefusals } from './refusals.ts';
import type { Acknowledged } from './spools.ts';
import { storedKeys } from './stored-keys.ts';

/**
 * The invariants of the design by their numbers. 2, that rollups equal a recount, has nothing to look at before there
 * are rollups. 7 is measured all the time (bounded.ts), 8 by the wait for recovery (recovery.ts).
 */
const invariants = [
  exactlyOnce,
  asTargetsAnswered,
  asSigned,
  signedAndPlaced,
  withinPolicy,
  underLease,
  durableIsCommitted,
];

export interface Allowed extends Pick<Evidence, 'destroyed' | 'toBeTold' | 'databaseWentBack' | 'untilMs'> {
  /** Each with the instant (epoch ms) at which its round had healed: it holds until that is settled. */
  readonly mayReject: readonly (MayReject & { readonly healedMs: number })[];
}

/** Looks at the network from outside, and keeps the books about what it need not look at again. */
export interface Checker {
  /** What has to be looked at: everything acknowledged that is not settled, and what of it is stored. */
  look(): Promise<Look>;
  /** Gathers the evidence and holds every invariant against it. */
  check(allowed: Allowed): Promise<Finding>;
  /**
   * After a check that found nothing: what was due before this instant (epoch ms) is accounted for. From then on only
   * its number is looked at, so that hours of results take neither memory nor time.
   */
  settle(beforeMs: number): Promise<void>;
}

export interface Look {
  readonly acknowledged: ReadonlyMap<string, Acknowledged>;
  readonly stored: ReadonlySet<string>;
  /** Rows that were there when they were settled, and are gone. */
  readonly vanished: number;
  /** The hub has it in a gap record, or as refused. */
  spokenFor(result: Acknowledged): boolean;
}

/** What comes from Kafka's log alone may be stored a moment after the rest: what is lost stays away. */
const patience = 20_000;

export function createChecker(network: ChaosNetwork, log: KafkaLog, patienceMs = patience): Checker {
  let settledUs = 0;
  let settledRows = 0;
  let settledAcknowledged = 0;
  const refusals = keepRefusals(network);

  const rowsBefore = async (us: number) => {
    const { count } = await network
      .db()
      .one<{ count: number }>(
        'select count(*)::int8 as count from results where scheduled_at < to_timestamp($1::float8 / 1000000)',
        [us],
      );
    return count;
  };

  /** Where a spool came back with what is settled long since, those few are looked at once more. */
  function since(acknowledged: ReadonlyMap<string, Acknowledged>): number {
    let us = settledUs;
    for (const { scheduledAt } of acknowledged.values()) us = Math.min(us, scheduledAt);
    return us;
  }

  return {
    async look() {
      const acknowledged = await network.spools.read();
      const stored = await storedKeys(network, since(acknowledged));
      const vanished = settledUs === 0 ? 0 : Math.max(0, settledRows - (await rowsBefore(settledUs)));
      return { acknowledged, stored, vanished, spokenFor: await readSpoken(network) };
    },

    async check(allowed) {
      // In this order: what is told is stored, what is stored was signed before, what is signed was acknowledged before.
      const told = new Map(network.leases.told());
      const stored = await storedKeys(network, since(await network.spools.read()));
      const before = settledUs === 0 ? 0 : await rowsBefore(settledUs);
      const signed = await log.read();
      const acknowledged = await network.spools.read();
      const { missed } = log.counts();
      const refused = await refusals.read();
      const evidence: Evidence = {
        network,
        acknowledged,
        stored,
        signed,
        missed,
        told,
        settledUs,
        refused,
        patienceMs,
        ...allowed,
        mayReject: allowed.mayReject.filter(({ healedMs }) => healedMs * 1000 > settledUs),
      };
      const findings: Finding[] = [];
      for (const invariant of invariants) findings.push(await invariant(evidence));
      let late = 0;
      for (const { scheduledAt } of acknowledged.values()) if (scheduledAt < settledUs) late += 1;
      let storedNow = 0;
      for (const key of stored) if (scheduledAtOf(key) >= settledUs) storedNow += 1;
      const violations = [
        ...settledStays(before - settledRows, late),
        ...findings.flatMap(({ violations }) => violations),
      ];
      if (violations.length === 0) refusals.note(refused);
      return {
        violations,
        counts: Object.assign(
          { acknowledged: settledAcknowledged + acknowledged.size - late, stored: before + storedNow },
          ...findings.map(({ counts }) => counts),
        ),
      };
    },

    async settle(beforeMs) {
      const us = beforeMs * 1000;
      if (us <= settledUs) return;
      for (const { scheduledAt } of (await network.spools.read()).values()) {
        if (scheduledAt < us && scheduledAt >= settledUs) settledAcknowledged += 1;
      }
      settledRows = await rowsBefore(us);
      settledUs = us;
      await network.spools.settle(us);
      log.settle(us);
      network.leases.settle(beforeMs);
    },
  };
}

/** What the hub has said of results that are not stored: a gap, or a refusal. */
async function readSpoken(network: ChaosNetwork): Promise<(result: Acknowledged) => boolean> {
  const rows = await network.db().many<{
    stream: string;
    from_seq: number;
    to_seq: number;
    from_us: number | null;
    to_us: number | null;
  }>(
    `select stream, from_seq, to_seq, (extract(epoch from from_scheduled_at) * 1000000)::int8 as from_us,
            (extract(epoch from to_scheduled_at) * 1000000)::int8 as to_us from gaps
     union all select stream, seq, seq, null, null from rejects where stream is not null and seq is not null`,
  );
  const spans = Map.groupBy(rows, ({ stream }) => stream);
  return ({ stream, seq, scheduledAt }) =>
    (spans.get(stream) ?? []).some(({ from_seq, to_seq, from_us, to_us }) =>
      // What has no number yet is told by its time alone.
      seq === null
        ? from_us !== null && to_us !== null && scheduledAt >= from_us && scheduledAt <= to_us
        : seq >= from_seq && seq <= to_seq,
    );
}

/** Rows that are settled stay, and none comes to them but what a spool brought late. */
function settledStays(more: number, late: number): Violation[] {
  if (more < 0) return [violated('1 exactly once', `${-more} rows that were stored are gone`, [])];
  if (more > late) return [violated('3 region', `${more - late} rows came into a time that was settled`, [])];
  return [];
}

function scheduledAtOf(key: string): number {
  return Number(key.split('|')[2]);
}
