import { type Failure, type FailureCode, failure } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';
import { newTrace, type Trace } from './trace.ts';

export type Interruption = 'deadline' | 'stopped';

/**
 * One attempt while it runs: its deadline, what it has measured, and the phase that must give way when time is up.
 * There is one timer for the whole, so that no server outlives it by sending a byte now and then.
 */
export interface Attempt {
  /** What the phase that runs now does when the time is up; null between phases. */
  interrupt: ((why: Interruption) => void) | null;
  ended: Interruption | null;
  /** Milliseconds of performance.now() when the clock began. */
  beganMs: number;
  readonly timeoutMs: number;
  readonly timings: Stopwatch;
  /** What it sees on its way, for evidence. */
  readonly trace: Trace;
  /** Stops the deadline for what is not the target's time; returns how it goes on. */
  pause(): () => void;
}

/** Milliseconds spent in each phase so far, over all hops; null where the phase was not reached. */
export interface Stopwatch {
  dns: number | null;
  connect: number | null;
  tls: number | null;
  wait: number | null;
  transfer: number | null;
}

export type Phase = keyof Stopwatch;

export function addPhase(attempt: Attempt, phase: Phase, sinceMs: number): void {
  attempt.timings[phase] = (attempt.timings[phase] ?? 0) + (performance.now() - sinceMs);
  attempt.trace.phase = phase;
}

const timeoutCodes = {
  dns: 'dns.timeout',
  connect: 'connect.timeout',
  tls: 'tls.timeout',
  wait: 'wait.timeout',
  transfer: 'body.timeout',
} as const satisfies Record<Phase, FailureCode>;

const waitedFor = {
  dns: 'no answer from the resolver',
  connect: 'no connection',
  tls: 'no finished TLS handshake',
  wait: 'no answer',
  transfer: 'the body did not end',
} as const satisfies Record<Phase, string>;

/** Whose fault it is that the attempt had to end in this phase. */
export function interrupted(why: Interruption, phase: Phase, attempt: Attempt): Failure {
  if (why === 'stopped') return failure('probe.internal', 'the probe stopped while the check ran');
  return failure(timeoutCodes[phase], `${waitedFor[phase]} within ${attempt.timeoutMs} ms`);
}

/**
 * Runs `body` with one deadline over all of it. `stop` ends it early. Where it is a part of `whole`, both have begun
 * and end together, and looking up the name was done for both.
 */
export async function attempted(
  timeoutMs: number,
  stop: StopSignal,
  body: (attempt: Attempt) => Promise<Observation>,
  whole: Attempt | null = null,
): Promise<Observation> {
  const nowMs = performance.now();
  const attempt: Attempt = {
    interrupt: null,
    ended: null,
    beganMs: whole?.beganMs ?? nowMs,
    timeoutMs,
    timings: { dns: whole?.timings.dns ?? null, connect: null, tls: null, wait: null, transfer: null },
    trace: stop.trace ?? newTrace(),
    pause,
  };
  let leftMs = Math.max(0, timeoutMs - (nowMs - attempt.beganMs));
  let armedMs = nowMs;
  let timer: NodeJS.Timeout | undefined;
  const end = (why: Interruption) => {
    attempt.ended ??= why;
    attempt.interrupt?.(why);
  };
  const stopped = () => end('stopped');
  const arm = () => {
    armedMs = performance.now();
    timer = setTimeout(end, leftMs, 'deadline');
  };
  function pause(): () => void {
    clearTimeout(timer);
    leftMs = Math.max(0, leftMs - (performance.now() - armedMs));
    return arm;
  }
  arm();
  stop.add(stopped);
  try {
    if (stop.aborted) end('stopped');
    return await body(attempt);
  } finally {
    clearTimeout(timer);
    stop.delete(stopped);
  }
}

/**
 * Runs `body` as an attempt within another, with a deadline of its own and none of the other's time; when the other is
 * stopped it is, too. What it measures is not the other's.
 */
export async function aside<T>(
  attempt: Attempt,
  timeoutMs: number,
  body: (own: Attempt) => Promise<T>,
): Promise<T> {
  const beganMs = performance.now();
  const own: Attempt = {
    interrupt: null,
    ended: attempt.ended,
    beganMs,
    timeoutMs,
    timings: { dns: null, connect: null, tls: null, wait: null, transfer: null },
    trace: newTrace(),
    pause: () => () => undefined,
  };
  const end = (why: Interruption) => {
    own.ended ??= why;
    own.interrupt?.(why);
  };
  const goOn = attempt.pause();
  const before = attempt.interrupt;
  attempt.interrupt = end;
  const timer = setTimeout(end, timeoutMs, 'deadline');
  try {
    return await body(own);
  } finally {
    clearTimeout(timer);
    attempt.interrupt = before;
    attempt.beganMs += performance.now() - beganMs;
    goOn();
  }
}

/** The listeners of one AbortSignal, which thousands of checks share: a set forgets one faster than an EventTarget. */
export interface StopSignal {
  readonly aborted: boolean;
  add(listener: () => void): void;
  delete(listener: () => void): void;
  /** Where the attempts under it note what they see, for somebody who will ask. */
  readonly trace?: Trace;
}

/** The same signal for one check, with a trace of its own. */
export function withTrace(stop: StopSignal, trace: Trace): StopSignal {
  return {
    get aborted() {
      return stop.aborted;
    },
    add: stop.add,
    delete: stop.delete,
    trace,
  };
}

const known = new WeakMap<AbortSignal, StopSignal>();

export function stopSignal(signal: AbortSignal): StopSignal {
  const before = known.get(signal);
  if (before) return before;
  const listeners = new Set<() => void>();
  signal.addEventListener('abort', () => listeners.forEach((listener) => void listener()), { once: true });
  const made: StopSignal = {
    get aborted() {
      return signal.aborted;
    },
    add: (listener) => void listeners.add(listener),
    delete: (listener) => void listeners.delete(listener),
  };
  known.set(signal, made);
  return made;
}

export const toUs = (ms: number | null): number | null => (ms === null ? null : Math.round(ms * 1000));
