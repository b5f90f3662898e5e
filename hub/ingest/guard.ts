import type { Registry } from '../trust/registry.ts';
import { createBrake } from './brake.ts';
import type { IncomingBatch } from './bus.ts';
import type { RejectReason } from './reject.ts';
import { rejectWords } from './reject-words.ts';
import { createSeqMemory, type SeqMemory } from './seq-memory.ts';
import type { Stored } from './store-batches.ts';
import { putOff, type VerifiedBatch } from './verify.ts';

/**
 * What is wasted where nothing comes of a batch, in microseconds of this thread and of the database. Measured: verifying
 * and opening one 0.2 to 4 ms, the worst that a signer makes of 256 KiB included; a refused result 5 us; a gap record's
 * row 15 us; a signature that does not hold 120 us. What PostgreSQL does not take has its whole group stored in halves, 50
 to 100 ms where it is full: less is charged, so that a probe which meets a bug of the hub once a second is not held.
 */
const wastedUs = { batch: 500, result: 10, gap: 20, signature: 150, poison: 20_000 } as const;
/** The hub's own trouble, and what cost nothing. `seq_reused` is among the idle. */
const notTheirs: ReadonlySet<RejectReason> = new Set(['no_partition', 'put_off', 'seq_reused']);
/** Nobody honest sends what it did not sign: enough for a damaged way there. */
const forgedBudget = { refillUs: 2000, burstUs: 200_000 } as const;

/**
 * Keeps one probe from costing the others their time, whatever it signs. The choice: past its budget a probe's batches
 * are put off, not refused. They are neither verified nor opened, and, as with a stream of too many holes, not marked
 * as received: a probe that is only broken (its clock wrong, its endpoints moved) still has them and sends them again
 * at a rate that suits. So nothing that was acknowledged is lost, and nothing need be read to be counted. A probe with
 * 500 checks a second, all refused, stays below a third of its budget: only a flood meets this.
 *
 * Only what a signature proved is charged to a probe, so none can have another put off. Signatures that do not hold are
 * charged to the name they used; past that budget only batches whose key is a stream which that probe has proven are
 * verified under its name. A stream's id is random, and known to its probe and to readers of the topic alone: who does
 * not know it is kept out, who does (the probe itself) has that stream put off.
 */
export interface Guard {
  /** The batch as it goes to the database without being looked at; null where it is to be verified. */
  stops(incoming: IncomingBatch): VerifiedBatch | null;
  readonly memory: Pick<SeqMemory, 'differs'>;
  /** Remembers what was stored, and charges what came to nothing. */
  settle(stored: Pick<Stored, 'rejects' | 'idle' | 'fresh'>): void;
}

export interface GuardOptions {
  readonly registry: Pick<Registry, 'probeByKid'>;
  /** Epoch microseconds. */
  readonly now: () => number;
  readonly brake?: Parameters<typeof createBrake>[0];
}

export function createGuard({ registry, now, brake: budget }: GuardOptions): Guard {
  const brake = createBrake(budget);
  const forged = createBrake(forgedBudget);
  const memory = createSeqMemory();

  /** Whom a signature that does not hold is put down to. */
  function nameUsed({ key }: IncomingBatch, probeId: number): number | string {
    return key !== null && memory.knows(key, probeId) ? key : probeId;
  }

  return {
    stops(incoming) {
      const probe = registry.probeByKid(incoming.headers.kid);
      if (!probe) return null;
      const atMs = incoming.position?.appendedAt ?? now() / 1000;
      if (brake.holds(probe.id, atMs)) {
        return putOff(incoming, probe.id, 'too much of what it sent was refused or there already');
      }
      if (forged.holds(nameUsed(incoming, probe.id), atMs)) {
        return putOff(incoming, probe.id, 'too many signatures under its name do not hold');
      }
      return null;
    },
    memory,
    settle({ rejects, idle, fresh }) {
      const due = new Map<number, number>();
      const add = (probeId: number, us: number) => due.set(probeId, (due.get(probeId) ?? 0) + us);
      for (const { reason, probeId } of rejects) {
        const { of } = rejectWords[reason];
        if (probeId === null || of === 'speaker' || notTheirs.has(reason)) continue;
        add(probeId, wastedUs[reason === 'poison' ? 'poison' : of]);
      }
      for (const { probeId } of idle) add(probeId, wastedUs.batch);
      for (const { claim, rejects: own, incoming } of fresh) {
        if (claim) {
          memory.note(claim, incoming.headers.sig);
          if (claim.gaps.length > 0) add(claim.probeId, claim.gaps.length * wastedUs.gap);
        }
        const [first] = own;
        if (first?.reason === 'bad_signature' && first.probeId !== null) {
          forged.charge(nameUsed(incoming, first.probeId), wastedUs.signature);
        }
      }
      for (const [probeId, us] of due) brake.charge(probeId, us);
    },
  };
}
