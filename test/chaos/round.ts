import { setTimeout as wait } from 'node:timers/promises';
import { endsWithin } from '../../hub/process/tethered.ts';
import type { Checker } from './check.ts';
import type { Fault, Injected } from './fault.ts';
import { startStopped } from './faults/relaunch.ts';
import type { Finding, MayReject, Violation } from './invariants/invariant.ts';
import type { ChaosNetwork } from './network.ts';
import type { Round } from './plan.ts';
import type { Random } from './random.ts';
import { type Recovery, recovers } from './recovery.ts';

const healMs = 120_000;

/** What faults of this round and of those before it excuse. */
export interface Excuses {
  readonly destroyed: Set<string>;
  /** Of these, results that the probe can see are gone: it has to say so. */
  readonly toBeTold: Set<string>;
  /** Each with the instant (epoch ms) at which its round had healed: what was due before that is settled some day. */
  readonly mayReject: (MayReject & { readonly healedMs: number })[];
}

export function noExcuses(): Excuses {
  return { destroyed: new Set(), toBeTold: new Set(), mayReject: [] };
}

/** The machine could not do what it was to do: this says nothing of the system. */
export class MachineFailed extends Error {
  override readonly name = 'MachineFailed';
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

/**
 * Breaks, waits, mends, waits until all is at rest, and looks. What the first fault broke may be what the second needs
 * to break something: one that fails beside another is tried again alone. Throws where the machine itself fails.
 */
export async function playRound(round: Round, context: RoundContext): Promise<RoundEnd> {
  const { network, checker, excuses, recoveryMs, signal } = context;
  const rest = async (healedMs: number) => {
    const recovery = await recovers(network, checker, healedMs, excuses.destroyed, recoveryMs, signal);
    signal.throwIfAborted();
    return recovery;
  };
  let broken = await breakAndHeal(round, context);
  let recovery = await rest(broken.healedMs);
  if (broken.failed) {
    const { fault, why } = broken.failed;
    const missing = recovery.missing.slice(0, 3).join('; ');
    if (!recovery.recovered) throw new MachineFailed(`${fault.name}: ${why}; not at rest since: ${missing}`);
    const alone = await breakAndHeal({ ...round, faults: [fault] }, context);
    broken = { ...alone, wentBack: broken.wentBack || alone.wentBack };
    const before = recovery.tookMs;
    recovery = await rest(broken.healedMs);
    recovery = { ...recovery, tookMs: Math.max(before, recovery.tookMs) };
  }
  const { healedMs, wentBack } = broken;
  const violations: Violation[] = [...broken.violations];
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

interface Broken {
  readonly healedMs: number;
  readonly wentBack: boolean;
  readonly violations: readonly Violation[];
  /** The second of two, which could not be injected beside the first. */
  readonly failed: { readonly fault: Fault; readonly why: string } | null;
}

/** Throws MachineFailed where a fault fails that stands alone, or is the first. */
export async function breakAndHeal(
  round: Round,
  { network, excuses, random, tell, signal }: Omit<RoundContext, 'checker' | 'recoveryMs'>,
): Promise<Broken> {
  const active: Injected[] = [];
  let wentBack = false;
  let failed: Broken['failed'] = null;
  let left = false;
  try {
    for (const [index, fault] of round.faults.entries()) {
      if (index > 0) await wait(round.apartMs, undefined, { signal });
      try {
        const one = await fault.inject(network, random.split(fault.name), signal);
        active.push(one);
        tell(fault.name, one.detail, one.happened ?? true);
      } catch (error) {
        signal.throwIfAborted();
        left = true;
        const why = error instanceof Error ? error.message : String(error);
        if (index === 0)
          throw new MachineFailed(`${fault.name} could not be injected: ${why}`, { cause: error });
        tell(fault.name, `NOT INJECTED beside the other, and tried again alone: ${why}`, false);
        failed = { fault, why };
      }
    }
    await network.lie(random.split('lie')).catch(() => undefined);
    await wait(round.holdMs, undefined, { signal });
  } finally {
    for (const one of random.shuffle(active)) await healed(one);
    if (left) await startStopped(network);
  }
  for (const one of active) {
    for (const key of (await one.destroyed?.()) ?? []) excuses.destroyed.add(key);
    for (const key of one.toBeTold ?? []) excuses.toBeTold.add(key);
    wentBack ||= one.databaseWentBack ?? false;
  }
  const healedMs = Date.now();
  for (const one of active) {
    for (const may of one.mayReject ?? []) excuses.mayReject.push({ ...may, healedMs });
  }
  return { healedMs, wentBack, violations: active.flatMap((one) => one.violations ?? []), failed };
}

async function healed({ detail, heal }: Injected): Promise<void> {
  if (!(await endsWithin(heal(), healMs)))
    throw new MachineFailed(`not healed in ${healMs / 1000} s: ${detail}`);
}
