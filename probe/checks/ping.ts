import type { AssignmentOf } from '../../shared/assignment.ts';
import { pingSpanMs } from '../../shared/endpoint-ping.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';
import { type Attempt, attempted, interrupted, type StopSignal } from './attempt.ts';
import type { DestinationGate } from './destination-gate.ts';
import { isLoopback } from './dial.ts';
import { newFindings, observed, type Quality } from './observed.ts';
import { type PingRun, pingArguments, type RunPing, unable } from './ping-command.ts';
import { type PingFigures, type PingReport, pingFigures, readPing } from './ping-report.ts';
import type { PingTurns } from './ping-turns.ts';
import { type ReachDeps, refusedName } from './reach.ts';

export interface PingDeps extends Pick<ReachDeps, 'policy' | 'resolver'> {
  readonly gate: DestinationGate;
  readonly runPing: RunPing;
  readonly pingTurns: PingTurns;
}

type PingAssignment = AssignmentOf<'ping'>;

/** What starting a process and its last line may take: within the deadline its own count of what was lost is known. */
const spareMs = 100;
const leastWaitMs = 20;

export function preparePing(assignment: PingAssignment, deps: PingDeps) {
  const { request, timeoutMs, url } = assignment;
  const span = pingSpanMs(request);
  if (span + leastWaitMs >= timeoutMs)
    return failure(
      'probe.internal',
      `${request.count} requests every ${request.interval} ms do not fit into a timeout of ${timeoutMs} ms`,
    );
  const host = new URL(url).hostname;
  return (stop: StopSignal) => checkPing(assignment, host, deps, stop);
}

/**
 * One check: the host's name resolved once, its addresses vetted, and the first of them pinged by the machine's own
 * `ping`, which may do what an unprivileged process may not. `wait` and `total` tell the average round trip, not how
 * long the check took. Nothing ported to npm does it better: of its modules for ICMP those that are used bring C++ to
 * compile, for raw sockets, that is for root.
 */
function checkPing(
  assignment: PingAssignment,
  host: string,
  deps: PingDeps,
  stop: StopSignal,
): Promise<Observation> {
  const { timeoutMs, request, expect } = assignment;
  return attempted(timeoutMs, stop, async (attempt) => {
    const findings = newFindings();
    const elapsed = () => performance.now() - attempt.beganMs;
    const failed = (why: Failure) => observed(findings, attempt, elapsed(), why, null);
    const address = await findAddress(host, request, attempt, deps);
    if (typeof address !== 'string') return failed(address);
    findings.remoteIp = address;
    attempt.trace.address = address;
    const began = performance.now();
    const run = await pinged(assignment, address, attempt, deps);
    if ('code' in run) return failed(run);
    const report = readPing(run.out);
    const figures = pingFigures(request.count, report.roundTripsMs);
    findings.facts = {
      sent: request.count,
      ...figures,
      ttl: report.ttl,
      ...(report.duplicates > 0 ? { duplicates: report.duplicates } : {}),
      ...(report.error ? { error: report.error.what, errorFrom: report.error.from } : {}),
    };
    if (figures.avgMs === null) {
      attempt.timings.wait = performance.now() - began;
      return failed(lost(run, report, address, attempt));
    }
    attempt.timings.wait = figures.avgMs;
    const totalMs = (attempt.timings.dns ?? 0) + figures.avgMs;
    const tooMany = figures.lossPercent > expect.maxLossPercent;
    const why = tooMany
      ? failure('expect.loss', `${figures.lossPercent}% lost, at most ${expect.maxLossPercent}% expected`)
      : null;
    return observed(findings, attempt, totalMs, why, qualityOf(expect, figures));
  });
}

/** Of addresses in turn the first that the policy lets pass. ICMP has no port: only a network without one opens it. */
async function findAddress(
  host: string,
  { ipFamily, resolveTo }: PingAssignment['request'],
  attempt: Attempt,
  { policy, resolver }: PingDeps,
): Promise<string | Failure> {
  const refused = refusedName({ host, port: null, otherNames: [] }, { policy });
  if (refused) return refused;
  const addresses = resolveTo === undefined ? await resolver.resolve(host, ipFamily, attempt) : [resolveTo];
  if ('code' in addresses) return addresses;
  let refusal: string | null = null;
  for (const address of addresses) {
    const why = policy.refuseAddress(address, null);
    if (why === null) return address;
    refusal ??= why;
  }
  return failure('policy.blocked', refusal ?? 'no address to ping');
}

/** Waits for its turn, which is not the target's time, and runs the command within what is left of the deadline. */
async function pinged(
  { request }: PingAssignment,
  address: string,
  attempt: Attempt,
  deps: PingDeps,
): Promise<PingRun | Failure> {
  const goOn = attempt.pause();
  const waited = performance.now();
  const turn = await deps.pingTurns.take((leave) => {
    attempt.interrupt = leave;
  });
  attempt.interrupt = null;
  attempt.beganMs += performance.now() - waited;
  goOn();
  if (typeof turn === 'string') return failure('probe.saturated', turn);
  if (turn === null) return interrupted(attempt.ended ?? 'stopped', 'wait', attempt);
  const destination = `${address} icmp`;
  const full = isLoopback(address) ? null : deps.gate.enter(destination, performance.now());
  try {
    if (full !== null) return failure('probe.saturated', full);
    if (attempt.ended) return interrupted(attempt.ended, 'wait', attempt);
    const leftMs = attempt.timeoutMs - (performance.now() - attempt.beganMs);
    const waitMs = Math.max(leastWaitMs, leftMs - pingSpanMs(request) - spareMs);
    const run = await deps.runPing(pingArguments(request, address, waitMs), (kill) => {
      attempt.interrupt = kill;
    });
    attempt.interrupt = null;
    // Killed at the deadline it has told what came until then; stopped, it tells nothing of the target.
    if (attempt.ended === 'stopped') return interrupted('stopped', 'wait', attempt);
    const cannot = unable(run);
    if (cannot !== null) return failure('probe.unable', cannot);
    if (run.startError !== null)
      return failure('probe.saturated', `this machine cannot start one more process (${run.startError})`);
    return run;
  } finally {
    if (full === null) deps.gate.leave(destination);
    turn();
  }
}

/** Not one reply: what a router said of it, what the machine's own kernel said, or nothing. */
function lost({ err }: PingRun, { error }: PingReport, address: string, attempt: Attempt): Failure {
  if (error?.what === 'ttl exceeded')
    return failure('connect.unreachable', `the requests' time to live ended at ${error.from}`);
  if (error?.what === 'too big')
    return failure('connect.unreachable', `${error.from} takes no packets of this size`);
  if (error) return failure('connect.unreachable', `${error.from} says that ${address} is ${error.what}`);
  if (/Message too long|local error/i.test(err))
    return failure('connect.unreachable', 'packets of this size do not pass here');
  if (/unreachable|No route|Invalid argument|not permitted|Permission denied|not available/i.test(err))
    return failure('connect.unreachable', `this machine has no way to ${address}`);
  return failure('connect.timeout', `no reply from ${address} within ${attempt.timeoutMs} ms`);
}

function qualityOf(
  { slowerThan, maxJitter }: PingAssignment['expect'],
  { avgMs, jitterMs }: PingFigures,
): Quality | null {
  if (maxJitter !== undefined && jitterMs !== null && jitterMs > maxJitter)
    return {
      failure: failure('expect.jitter', `jitter of ${jitterMs} ms, at most ${maxJitter} ms expected`),
    };
  return slowerThan !== undefined && avgMs !== null && avgMs > slowerThan ? { failure: null } : null;
}
