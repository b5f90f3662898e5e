import { setTimeout as wait } from 'node:timers/promises';
import { createChecker } from './check.ts';
import type { Fault } from './fault.ts';
import { type Meter, meter } from './invariants/bounded.ts';
import type { Violation } from './invariants/invariant.ts';
import { type KafkaLog, readKafkaLog } from './kafka-log.ts';
import { type ChaosNetwork, type NetworkOptions, startNetwork } from './network.ts';
import { drawnPlan, type Plan, pairOf, type WrittenRound, written, writtenPlan } from './plan.ts';
import { createRandom } from './random.ts';
import { noExcuses, playRound } from './round.ts';

export interface ChaosOptions
  extends Pick<NetworkOptions, 'folder' | 'rate' | 'bundles' | 'hubEnv' | 'probeEnv'> {
  readonly seed: number;
  readonly faults: readonly Fault[];
  readonly pairs: boolean;
  /** It ends with the round in which this has passed since the first fault, or after so many rounds. */
  readonly forMs: number;
  readonly rounds: number;
  /** The longest that faults of a round last; default 60 s. */
  readonly longestMs?: number;
  /** These rounds in place of drawn ones. */
  readonly plan?: readonly WrittenRound[];
  /** How long everything may take to come to rest after the last fault has healed; default 90 s. */
  readonly recoveryMs?: number;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface ChaosReport {
  readonly seed: number;
  /** Since the first fault. */
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
  /** What was done, for people, round by round. */
  readonly story: readonly string[];
  /** The rounds that were played, to play them again. */
  readonly played: readonly WrittenRound[];
}

const defaultRecoveryMs = 90_000;
const defaultLongestMs = 60_000;

/** What is newer is looked at result by result in every round; of what is older, the number is. */
const unsettledMs = 120_000;

/** One network, broken again and again until the time is over or an invariant is violated. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, say, signal } = options;
  const random = createRandom(seed);
  const network = await startNetwork({ ...options, random: random.split('network') });
  let log: KafkaLog | null = null;
  let gauge: Meter | null = null;
  try {
    log = await readKafkaLog({ address: network.kafka.adminAddress, topic: network.topic, db: network.db });
    gauge = meter(network);
    const plan = await planOf(network, options);
    // The load is what it says, before anything is broken.
    await settled(network, options.rate, signal);
    say(`all runs: ${options.rate} checks a second, seed ${seed}`);
    return await playAll(network, log, gauge, plan, options);
  } finally {
    gauge?.stop();
    await log?.stop();
    await network.close();
  }
}

async function planOf(network: ChaosNetwork, { faults, pairs, seed, plan, longestMs, say }: ChaosOptions) {
  if (plan) return writtenPlan(plan);
  return drawnPlan({
    faults: await possible(network, faults, say),
    random: createRandom(seed).split('plan'),
    pairs,
    longestMs: longestMs ?? defaultLongestMs,
  });
}

async function playAll(
  network: ChaosNetwork,
  log: KafkaLog,
  gauge: Meter,
  plan: Plan,
  { seed, forMs, rounds: most, recoveryMs, say, signal }: ChaosOptions,
): Promise<ChaosReport> {
  const random = createRandom(seed);
  const checker = createChecker(network, log);
  const excuses = noExcuses();
  const story: string[] = [];
  const played: WrittenRound[] = [];
  const injected: Record<string, number> = {};
  const pairs = new Set<string>();
  const violations: Violation[] = [];
  let counts: Readonly<Record<string, number>> = {};
  let longestRecoveryMs = 0;
  const beganMs = performance.now();

  while (played.length < most && performance.now() - beganMs < forMs && violations.length === 0) {
    const round = plan.next();
    if (!round) break;
    played.push(written(round));
    const together: string[] = [];
    const end = await playRound(round, {
      network,
      checker,
      excuses,
      random: random.split(`round ${round.at}`),
      recoveryMs: recoveryMs ?? defaultRecoveryMs,
      tell(fault, detail, happened) {
        if (happened) {
          injected[fault] = (injected[fault] ?? 0) + 1;
          together.push(fault);
        }
        story.push(`round ${round.at}: ${fault}: ${detail}`);
        say(`round ${round.at}  ${fault}: ${detail}`);
      },
      signal,
    });
    if (together.length > 1) pairs.add(pairOf(together));
    const bounds = gauge.finding();
    counts = { ...counts, ...end.counts, ...bounds.counts };
    violations.push(...end.violations, ...bounds.violations);
    longestRecoveryMs = Math.max(longestRecoveryMs, end.recovery.tookMs);
    say(
      `round ${round.at}  healed, ${end.recovery.recovered ? 'at rest' : 'NOT AT REST'} ${(end.recovery.tookMs / 1000).toFixed(1)} s later: ${counts.stored} stored, ${counts.lost} lost, ${counts.doubled} doubled, ${counts.forged} forged`,
    );
    if (violations.length === 0) await checker.settle(end.healedMs - unsettledMs);
  }
  return {
    seed,
    minutes: (performance.now() - beganMs) / 60_000,
    rounds: played.length,
    checks: network.targets.total(),
    injected,
    pairs: [...pairs],
    pairsPossible: plan.pairsPossible,
    counts,
    longestRecoveryMs,
    violations,
    story,
    played,
  };
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
