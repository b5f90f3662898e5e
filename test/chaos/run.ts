import { setTimeout as wait } from 'node:timers/promises';
import { type Checker, createChecker } from './check.ts';
import type { Fault, Injected } from './fault.ts';
import { type Meter, meter } from './invariants/bounded.ts';
import type { Violation } from './invariants/invariant.ts';
import { type KafkaLog, readKafkaLog } from './kafka-log.ts';
import { type ChaosNetwork, type NetworkOptions, startNetwork } from './network.ts';
import { createPlan, type Round } from './plan.ts';
import { createRandom } from './random.ts';
import { recovers } from './recovery.ts';

export interface ChaosOptions
  extends Pick<NetworkOptions, 'folder' | 'rate' | 'bundles' | 'hubEnv' | 'probeEnv'> {
  readonly seed: number;
  readonly faults: readonly Fault[];
  readonly pairs: boolean;
  /** It ends with the round in which this has passed, or after so many rounds. */
  readonly forMs: number;
  readonly rounds: number;
  /** How long everything may take to come to rest after the last fault has healed. */
  readonly recoveryMs?: number;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface ChaosReport {
  readonly seed: number;
  readonly minutes: number;
  readonly rounds: number;
  /** Requests that targets answered. */
  readonly checks: number;
  readonly injected: Readonly<Record<string, number>>;
  readonly pairs: readonly string[];
  readonly pairsPossible: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly longestRecoveryMs: number;
  readonly violations: readonly Violation[];
  /** What was done, round by round. */
  readonly story: readonly string[];
}

/** How long everything may take to come to rest after the last fault has healed. */
const recoveryDeadlineMs = 90_000;

/** What is newer is looked at result by result in every round; of what is older, the number is. */
const unsettledMs = 120_000;

/** One network, broken again and again until the time is over or an invariant is violated. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, faults, pairs, forMs, rounds: most, say, signal } = options;
  const random = createRandom(seed);
  const beganMs = performance.now();
  const network = await startNetwork({ ...options, random: random.split('network') });
  let log: KafkaLog | null = null;
  let gauge: Meter | null = null;
  const story: string[] = [];
  const injected: Record<string, number> = {};
  const destroyed = new Set<string>();
  const mayReject = new Set<string>();
  const violations: Violation[] = [];
  let counts: Readonly<Record<string, number>> = {};
  let longestRecoveryMs = 0;
  let rounds = 0;

  async function play(
    { faults: drawn, holdMs, apartMs }: Round,
    at: number,
    checker: Checker,
  ): Promise<void> {
    const roundRandom = random.split(`round ${at}`);
    const active: Injected[] = [];
    let wentBack = false;
    const title = drawn.map(({ name }) => name).join(' + ');
    for (const [index, fault] of drawn.entries()) {
      if (index > 0) await wait(apartMs, undefined, { signal });
      const one = await fault.inject(network, roundRandom.split(fault.name), signal);
      active.push(one);
      injected[fault.name] = (injected[fault.name] ?? 0) + 1;
      for (const reason of fault.mayReject ?? []) mayReject.add(reason);
      say(`round ${at}  ${one.detail}`);
      story.push(`round ${at}: ${fault.name}: ${one.detail}`);
    }
    await network.lie(roundRandom.split('lie')).catch(() => undefined);
    await wait(holdMs, undefined, { signal });
    for (const one of roundRandom.shuffle(active)) await one.heal();
    for (const one of active) {
      for (const key of (await one.destroyed?.()) ?? []) destroyed.add(key);
      wentBack ||= one.databaseWentBack ?? false;
    }
    const healedMs = Date.now();
    const spoken = await spokenFor(network);
    const accounted = (key: string, stream: string, seq: number | null) =>
      destroyed.has(key) || spoken.accounted(key, stream, seq);
    const recovery = await recovers(
      network,
      checker,
      healedMs,
      accounted,
      options.recoveryMs ?? recoveryDeadlineMs,
      signal,
    );
    signal.throwIfAborted();
    longestRecoveryMs = Math.max(longestRecoveryMs, recovery.tookMs);
    if (!recovery.recovered) {
      violations.push({
        invariant: '8 drains',
        what: `not at rest ${Math.round(recovery.tookMs / 1000)} s after ${title} healed`,
        evidence: recovery.missing.slice(0, 12),
      });
    }
    const finding = await checker.check({
      destroyed,
      mayReject,
      databaseWentBack: wentBack,
      untilMs: healedMs,
    });
    counts = { ...finding.counts, ...gauge?.finding().counts };
    violations.push(...finding.violations, ...(gauge?.finding().violations ?? []));
    if (violations.length === 0) await checker.settle(healedMs - unsettledMs);
    say(
      `round ${at}  healed after ${(holdMs / 1000).toFixed(1)} s, at rest ${(recovery.tookMs / 1000).toFixed(1)} s later: ${counts.stored} stored, ${counts.lost} lost, ${counts.forged} forged`,
    );
  }

  try {
    log = await readKafkaLog({ address: network.kafka.adminAddress, topic: network.topic, db: network.db });
    const checker = createChecker(network, log);
    gauge = meter(network);
    const usable = await possible(network, faults, say);
    const plan = createPlan(usable, random.split('plan'), pairs);
    // The load is what it says, before anything is broken.
    await settled(network, options.rate, signal);
    say(`all runs: ${options.rate} checks a second, seed ${seed}`);
    const brokenMs = performance.now();
    while (rounds < most && performance.now() - brokenMs < forMs && violations.length === 0) {
      rounds += 1;
      await play(plan.next(), rounds, checker);
    }
    return {
      seed,
      minutes: (performance.now() - beganMs) / 60_000,
      rounds,
      checks: network.targets.total(),
      injected,
      pairs: plan.pairsCovered(),
      pairsPossible: plan.pairsPossible(),
      counts,
      longestRecoveryMs,
      violations,
      story,
    };
  } finally {
    gauge?.stop();
    await log?.stop();
    await network.close();
  }
}

async function possible(network: ChaosNetwork, faults: readonly Fault[], say: (line: string) => void) {
  const usable: Fault[] = [];
  for (const fault of faults) {
    const why = (await fault.cannot?.(network)) ?? null;
    if (why === null) usable.push(fault);
    else say(`LEFT OUT ${fault.name}: ${why}`);
  }
  return usable;
}

/** The first ten seconds bring in extra slots; then the rate must be near what was asked for. */
async function settled(network: ChaosNetwork, rate: number, signal: AbortSignal): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const before = network.targets.total();
    await wait(3000, undefined, { signal });
    const perSecond = (network.targets.total() - before) / 3;
    if (perSecond > rate * 0.85 && perSecond < rate * 1.15) return;
    if (tries === 20) throw new Error(`targets see ${perSecond.toFixed(0)} checks a second, not ${rate}`);
  }
}

/** What the hub has said of results that are not stored: a gap or a refusal. */
async function spokenFor(network: ChaosNetwork) {
  let rows: { stream: string; from_seq: number; to_seq: number }[] = [];
  const read = async () => {
    rows = await network.db().many(
      `select stream, from_seq, to_seq from gaps
       union all select stream, seq, seq from rejects where stream is not null and seq is not null`,
    );
  };
  await read().catch(() => undefined);
  const timer = setInterval(() => void read().catch(() => undefined), 1000);
  timer.unref();
  setTimeout(() => clearInterval(timer), recoveryDeadlineMs).unref();
  return {
    accounted: (_key: string, stream: string, seq: number | null) =>
      rows.some(
        (row) => row.stream === stream && (seq === null || (seq >= row.from_seq && seq <= row.to_seq)),
      ),
  };
}
