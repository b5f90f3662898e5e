import type { Logger } from 'pino';
import type { Assignment } from '../../shared/assignment.ts';
import { type FailureCode, failure, type Outcome } from '../../shared/failure.ts';
import type { Observation, Result, ResultKind } from '../../shared/result.ts';
import { notRun } from '../checks/observed.ts';
import { attempt } from './attempts.ts';
import { createEvidenceWatch, type EvidenceWatch } from './evidence-watch.ts';
import type { MeasuredChecker } from './measured.ts';

/** A check that is to run now. Instants are epoch microseconds on hub time. */
export interface Task {
  readonly assignment: Assignment;
  readonly kind: ResultKind;
  readonly scheduledAtUs: number;
  /** Retries end before it. */
  readonly nextUs: number;
}

/** Runs what is due, a bounded number at once, and makes one result of each. */
export interface Runner {
  run(task: Task): void;
  /** A slot that is reported without having been run. */
  skip(task: Task, code: FailureCode, message: string): void;
  running(): number;
  waiting(): number;
  /** Takes no more; resolves when what runs has ended, or at once, abandoned and unreported, when `signal` aborts. */
  drain(signal: AbortSignal): Promise<void>;
}

export interface RunnerOptions {
  readonly probeId: number;
  readonly regionId: number;
  readonly checker: MeasuredChecker;
  /** Hub time. */
  readonly nowUs: () => number;
  /** `urgent`: the endpoint's outcome changed. */
  readonly emit: (result: Result, urgent: boolean) => void;
  readonly log: Logger;
  readonly mostAtOnce: number;
  readonly evidence?: EvidenceWatch;
}

/** What waits for its turn longer than this would tell of another instant than its slot. */
const longestWaitUs = 1_000_000;
/** A check that outlives its own deadline by this much has a bug, and is cut off. */
const graceUs = 5_000_000;
/** As many endpoints as anybody gives one probe: past it the oldest outcomes are forgotten, which only costs urgency. */
const mostOutcomes = 500_000;

const mostUnable = 20;

interface Running {
  readonly task: Task;
  readonly deadlineUs: number;
  readonly cut: AbortController;
}

export function createRunner(options: RunnerOptions): Runner {
  const { probeId, regionId, checker, nowUs, emit, log, mostAtOnce } = options;
  const evidence = options.evidence ?? createEvidenceWatch();
  const running = new Set<Running>();
  /** The slot check of each endpoint that runs or waits. */
  const slots = new Map<number, Running | null>();
  const queue: { readonly task: Task; readonly sinceUs: number }[] = [];
  const outcomes = new Map<number, Outcome>();
  /** What this machine cannot do, by the message that says so to its owner. */
  const unable = new Set<string>();
  let stopping = false;
  let idle: () => void = () => undefined;
  const sweeping = setInterval(cutOverdue, 1000);
  sweeping.unref();

  function run(task: Task): void {
    if (stopping) return;
    const { assignment, kind } = task;
    if (kind === 'slot') {
      const before = slots.get(assignment.id);
      if (before !== undefined) {
        skipOverrun(task, before);
        return;
      }
      slots.set(assignment.id, null);
    }
    if (running.size < mostAtOnce) {
      void start(task);
    } else if (queue.length < mostAtOnce) {
      queue.push({ task, sinceUs: nowUs() });
    } else {
      finish(task);
      skip(task, 'probe.saturated', `${mostAtOnce} checks run at once and as many wait`);
    }
  }

  /** Its last slot still runs. Where its deadline is past that is not the target's slowness but this process's own. */
  function skipOverrun(task: Task, before: Running | null): void {
    const allowed = before !== null && before.deadlineUs > task.scheduledAtUs;
    if (allowed) skip(task, 'probe.overrun', 'the check of the slot before still ran');
    else skip(task, 'probe.saturated', 'the check of the slot before had not begun or ended in time');
  }

  async function start(task: Task): Promise<void> {
    const { assignment, kind, nextUs } = task;
    const startedAt = nowUs();
    const { timeoutMs, retries } = assignment;
    const longestUs = (timeoutMs + retries.count * (timeoutMs + retries.delayMs)) * 1000;
    const deadlineUs = Math.min(startedAt + longestUs, Math.max(nextUs, startedAt + timeoutMs * 1000));
    const mine: Running = { task, deadlineUs, cut: new AbortController() };
    running.add(mine);
    if (kind === 'slot') slots.set(assignment.id, mine);
    try {
      const done = await attempt(checker, assignment, {
        endUs: nextUs,
        nowUs,
        signal: mine.cut.signal,
        wish: evidence.wish(assignment.id),
      });
      if (mine.cut.signal.aborted && stopping) return;
      report(task, { ...done.observation, ...done, startedAt, suspect: done.disturbed });
    } catch (error) {
      if (stopping && mine.cut.signal.aborted) return;
      log.error({ err: error, endpointId: assignment.id }, 'a check ended with an error: this is a bug');
      skip(task, 'probe.internal', 'the check ended with an error of the probe itself');
    } finally {
      running.delete(mine);
      finish(task);
      startNext();
    }
  }

  function finish({ assignment, kind }: Task): void {
    if (kind === 'slot') slots.delete(assignment.id);
    if (running.size === 0 && queue.length === 0) idle();
  }

  function startNext(): void {
    while (running.size < mostAtOnce) {
      const next = queue.shift();
      if (!next) return;
      const { task, sinceUs } = next;
      if (nowUs() - sinceUs <= longestWaitUs) {
        void start(task);
      } else {
        finish(task);
        skip(task, 'probe.saturated', `it waited more than a second for one of ${mostAtOnce} places`);
      }
    }
  }

  function skip(task: Task, code: FailureCode, message: string): void {
    const observation = notRun(failure(code, message));
    report(task, { ...observation, attempts: 0, firstFailure: null, startedAt: nowUs(), suspect: false });
  }

  /** Once: every result that could not be had says it to the operator of the endpoint. */
  function tellUnable(message: string): void {
    if (unable.has(message) || unable.size >= mostUnable) return;
    unable.add(message);
    log.warn(`this machine cannot do what an endpoint asks for, and skips it: ${message}`);
  }

  function report(
    task: Task,
    seen: Observation & Pick<Result, 'attempts' | 'firstFailure' | 'startedAt' | 'suspect'>,
  ) {
    const { assignment, kind, scheduledAtUs } = task;
    const {
      outcome,
      failure,
      status,
      httpVersion,
      remoteIp,
      redirects,
      timings,
      bytes,
      truncated,
      tls,
      facts,
    } = seen;
    const { attempts, firstFailure, startedAt, suspect } = seen;
    if (failure?.code === 'probe.unable') tellUnable(failure.message);
    emit(
      {
        endpointId: assignment.id,
        rev: assignment.rev,
        regionId,
        probeId,
        kind,
        scheduledAt: scheduledAtUs,
        startedAt,
        attempts,
        outcome,
        failure,
        firstFailure,
        suspect,
        status,
        httpVersion,
        remoteIp,
        redirects,
        timings,
        bytes,
        truncated,
        tls,
        facts,
        evidence: evidence.take({
          endpointId: assignment.id,
          outcome,
          code: failure?.code ?? null,
          suspect,
          evidence: seen.evidence,
        }),
        lateBy: startedAt - scheduledAtUs,
      },
      isNews(assignment.id, kind, outcome),
    );
  }

  /** An outcome that changed, a failure at first sight, and what somebody waits for travel at once. */
  function isNews(endpointId: number, kind: ResultKind, outcome: Outcome): boolean {
    if (outcome === 'skipped') return false;
    const before = outcomes.get(endpointId);
    if (before !== outcome) {
      if (before === undefined && outcomes.size >= mostOutcomes) outcomes.clear();
      outcomes.set(endpointId, outcome);
    }
    return kind !== 'slot' || (before === undefined ? outcome === 'down' : before !== outcome);
  }

  function cutOverdue(): void {
    const now = nowUs();
    for (const { task, deadlineUs, cut } of running) {
      if (now < deadlineUs + graceUs || cut.signal.aborted) continue;
      log.error(
        { endpointId: task.assignment.id },
        'a check outlived its deadline and is cut off: this is a bug',
      );
      cut.abort();
    }
  }

  return {
    run,
    skip,
    running: () => running.size,
    waiting: () => queue.length,
    async drain(signal) {
      stopping = true;
      clearInterval(sweeping);
      for (const { task } of queue.splice(0)) finish(task);
      if (running.size === 0) return;
      const cutAll = () => {
        for (const { cut } of running) cut.abort();
        idle();
      };
      await new Promise<void>((done) => {
        idle = done;
        if (signal.aborted) cutAll();
        else signal.addEventListener('abort', cutAll, { once: true });
      });
      signal.removeEventListener('abort', cutAll);
    },
  };
}
