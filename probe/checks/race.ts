import { isIP, type Socket } from 'node:net';
import type { Facts } from '../../shared/facts.ts';
import type { Failure, FailureCode } from '../../shared/failure.ts';
import { type Attempt, addPhase, interrupted } from './attempt.ts';
import type { LateAddresses } from './resolve.ts';

/** One address and what came of it. Whoever was slower than the winner was given up: that says nothing about it. */
export interface Tried {
  readonly address: string;
  outcome: 'connected' | 'given up' | FailureCode;
}

/** RFC 8305, section 5: how long a connection may take before the next address is tried beside it. */
const staggerMs = 250;
/** Section 3: how long addresses that are still looked up are waited for when all others have failed. */
const lateMs = 50;

/** One connection under way. */
export interface Runner {
  /** Ends it without a word. */
  giveUp(): void;
}

export interface Race {
  /** Vetted, in the order in which they are tried. */
  readonly addresses: readonly string[];
  /** Where more may come from; they are vetted, too. */
  readonly late: LateAddresses | null;
  readonly attempt: Attempt;
  /** Starts one connection; a failure where there can be none. `done` is called once, never before this has returned. */
  start(address: string, done: (outcome: Socket | Failure) => void): Runner | Failure;
  /** Those of late addresses that may be dialled. */
  vet(addresses: readonly string[]): readonly string[];
  /** Filled in the order of the tries. */
  readonly tried: Tried[];
}

/**
 * Happy Eyeballs in the spirit of RFC 8305, over addresses that were vetted: the next address has its turn when the one
 * before has failed, or has not answered for 250 ms. The families take turns, so that the second is of the other one.
 * The first connection wins and the others are given up. All of it is one `connect` phase, as a browser's user has it.
 * Null where there was no address at all.
 */
export function race({
  addresses,
  late,
  attempt,
  start,
  vet,
  tried,
}: Race): Promise<Socket | Failure | null> {
  return new Promise((resolve) => {
    const began = performance.now();
    // The late ones may have come already, in the same turn of the event loop.
    let queue = inTurns(late ? [...addresses, ...vet(late.addresses)] : addresses);
    const running = new Map<Tried, Runner>();
    let failed: Failure | null = null;
    let timer: NodeJS.Timeout | undefined;
    let due = false;

    const settle = (outcome: Socket | Failure | null, rest: Tried['outcome'] = 'given up') => {
      clearTimeout(timer);
      if (late) late.arrived = null;
      attempt.interrupt = null;
      for (const [entry, runner] of running) {
        entry.outcome = rest;
        runner.giveUp();
      }
      running.clear();
      if (tried.length > 0) addPhase(attempt, 'connect', began);
      resolve(outcome);
    };
    const lost = (entry: Tried, why: Failure) => {
      entry.outcome = why.code;
      failed = moreTelling(failed, why);
      if (!startNext() && running.size === 0) exhausted();
    };
    /** Nobody runs and nobody waits. */
    const exhausted = () => {
      clearTimeout(timer);
      if (late?.waiting && !attempt.ended) timer = setTimeout(() => settle(failed), lateMs);
      else settle(failed);
    };
    const startNext = (): boolean => {
      clearTimeout(timer);
      due = false;
      const address = queue.shift();
      if (address === undefined) {
        due = true;
        return false;
      }
      const entry: Tried = { address, outcome: 'given up' };
      tried.push(entry);
      const runner = start(address, (outcome) => {
        if (!running.delete(entry)) return;
        if ('code' in outcome) return lost(entry, outcome);
        entry.outcome = 'connected';
        settle(outcome);
      });
      if ('code' in runner) {
        entry.outcome = runner.code;
        failed = moreTelling(failed, runner);
        return startNext();
      }
      running.set(entry, runner);
      if (queue.length > 0 || late?.waiting) timer = setTimeout(startNext, staggerMs);
      return true;
    };

    if (attempt.ended) return settle(interrupted(attempt.ended, 'connect', attempt));
    attempt.interrupt = (why) => {
      const timeout = interrupted(why, 'connect', attempt);
      // An address that refused says more than one that was silent until the end.
      settle(why === 'deadline' ? moreTelling(failed, timeout) : timeout, timeout.code);
    };
    if (late) {
      late.arrived = () => {
        const family = tried.length > 0 ? isIP(tried.at(-1)?.address ?? '') : 0;
        queue = inTurns([...queue, ...vet(late.addresses)], family);
        if (running.size === 0 || due) {
          if (!startNext() && running.size === 0) exhausted();
        }
      };
    }
    if (!startNext()) exhausted();
  });
}

/** The families in turn, each in its own order; the first is of the first address's, or not of `after`'s. */
export function inTurns(addresses: readonly string[], after = 0): string[] {
  const first = addresses[0];
  // Most have one, and each check comes by here.
  if (first === undefined || addresses.length === 1) return [...addresses];
  const lead = after === 0 ? isIP(first) : after === 4 ? 6 : 4;
  const one = addresses.filter((address) => isIP(address) === lead);
  const other = addresses.filter((address) => isIP(address) !== lead);
  const turns: string[] = [];
  for (let at = 0; at < Math.max(one.length, other.length); at += 1)
    turns.push(...one.slice(at, at + 1), ...other.slice(at, at + 1));
  return turns;
}

const weight = { probe: 3, target: 2, network: 1, resolver: 0 } as const;

/** Of two failures the one that says more of the target; what is the probe's own fault makes both worth nothing. */
function moreTelling(one: Failure | null, other: Failure): Failure {
  return one === null || weight[other.source] > weight[one.source] ? other : one;
}

/** For a result's facts: the family that won, null where none did. */
export function raceFacts(tried: readonly Tried[]): Facts {
  const won = tried.find(({ outcome }) => outcome === 'connected');
  return { family: won ? isIP(won.address) : null, tried: tried.map((each) => ({ ...each })) };
}
