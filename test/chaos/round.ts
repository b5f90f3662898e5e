import { setTimeout as wait } from 'node:timers/promises';
import { endsWithin } from '../../hub/process/tethered.ts';
import type { Checker } from './check.ts';
import type { Injected } from './fault.ts';
import type { Finding, Violation } from './invariants/invariant.ts';
import type { ChaosNetwork } from './network.ts';
import type { Round } from './plan.ts';
import type { Random } from './random.ts';
import { type Recovery, recovers } from './recovery.ts';

const healMs = 120_000;

/** What faults of earlier rounds excuse for good. */
export interface Excuses {
  readonly destroyed: Set<string>;
  readonly mayReject: Set<string>;
}

export interface RoundContext {
  readonly network: ChaosNetwork;
  readonly checker: Checker;
  readonly excuses: Excuses;
  readonly random: Random;
  /** How long everything may take to come to rest after the last fault has healed. */
  readonly recoveryMs: number;
  /** What was done, as it is done. */
  readonly tell: (fault: string, detail: string, injected: boolean) => void;
  readonly signal: AbortSignal;
}

export interface RoundEnd extends Finding {
  readonly healedMs: number;
  readonly recovery: Recovery;
}

/** Breaks, waits, mends, waits until all is at rest, and looks. Throws where the machine itself fails. */
export async function playRound(round: Round, context: RoundContext): Promise<RoundEnd> {
  const { network, checker, excuses, recoveryMs, signal } = context;
  const { healedMs, wentBack } = await breakAndHeal(round, context);
  const recovery = await recovers(network, checker, healedMs, excuses.destroyed, recoveryMs, signal);
  signal.throwIfAborted();
  const violations: Violation[] = [];
  if (!recovery.recovered) {
    violations.push({
      invariant: '8 drains',
      what: `not at rest ${Math.round(recovery.tookMs / 1000)} s after everything healed: ${recovery.missing.length} things are missing`,
      evidence: recovery.missing.slice(0, 12),
    });
  }
  try {
    const finding = await checker.check({ ...excuses, databaseWentBack: wentBack, untilMs: healedMs });
    violations.push(...finding.violations);
    return { healedMs, recovery, violations, counts: finding.counts };
  } catch (error) {
    // What did not recover may not be there to be looked at either.
    if (recovery.recovered) throw error;
    return { healedMs, recovery, violations, counts: {} };
  }
}

async function breakAndHeal(round: Round, { network, excuses, random, tell, signal }: RoundContext) {
  const active: Injected[] = [];
  let wentBack = false;
  try {
    for (const [index, fault] of round.faults.entries()) {
      if (index > 0) await wait(round.apartMs, undefined, { signal });
      const one = await fault.inject(network, random.split(fault.name), signal).catch((error: unknown) => {
        // What the first broke may be what the second needs to break something.
        if (index === 0 || signal.aborted) throw error;
        tell(fault.name, `NOT INJECTED: ${error instanceof Error ? error.message : error}`, false);
        return null;
      });
      if (!one) continue;
      active.push(one);
      for (const reason of fault.mayReject ?? []) excuses.mayReject.add(reason);
      tell(fault.name, one.detail, true);
    }
    await network.lie(random.split('lie')).catch(() => undefined);
    await wait(round.holdMs, undefined, { signal });
  } finally {
    for (const one of random.shuffle(active)) await healed(one);
  }
  for (const one of active) {
    for (const key of (await one.destroyed?.()) ?? []) excuses.destroyed.add(key);
    wentBack ||= one.databaseWentBack ?? false;
  }
  return { healedMs: Date.now(), wentBack };
}

async function healed({ detail, heal }: Injected): Promise<void> {
  if (!(await endsWithin(heal(), healMs))) throw new Error(`not healed in ${healMs / 1000} s: ${detail}`);
}
