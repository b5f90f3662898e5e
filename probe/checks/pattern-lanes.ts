import type { Worker } from 'node:worker_threads';
import { type Failure, type FailureCode, failure } from '../../shared/failure.ts';
import {
  type PatternAnswer,
  type PatternFound,
  type PatternSearch,
  type PatternWork,
  startPatternWorker,
} from './pattern-worker.ts';

export interface PatternLimits {
  /** How long one check's patterns may keep the thread before it is killed. */
  readonly runMs: number;
  /** How long they may wait for their turn. */
  readonly waitMs: number;
  readonly waitingMost: number;
  /** UTF-16 code units of text that wait. */
  readonly waitingCharsMost: number;
}

export const patternLimits: PatternLimits = {
  runMs: 1000,
  waitMs: 3000,
  waitingMost: 200,
  waitingCharsMost: 8 * 1_048_576,
};

/** Regular expressions and large documents, away from the event loop. After the clock of a check has stopped: nothing here is measured. */
export interface PatternLanes {
  /** Null where everything is as expected, else the first failure; `probe.saturated` where the cap was reached. */
  run(work: PatternWork): Promise<Failure | null>;
  /** The first text that matches, with its groups; null where none does. Failures as of `run`. */
  find(search: PatternSearch): Promise<PatternFound | Failure | null>;
  close(): Promise<void>;
}

type Work = PatternWork | PatternSearch;
type Answer = Exclude<PatternAnswer, { ready: true }>;

/** One thread's work, in turn. */
interface Lane {
  ask(work: Work): Promise<Answer>;
  close(): Promise<void>;
}

const idleMs = 30_000;
/** A thread reads the whole bundle before it can begin; on a busy machine that takes longer than any pattern may. */
const startMs = 10_000;

/** One thread an engine, so that an ECMAScript pattern that runs wild makes no linear one wait. */
export function createPatternLanes(limits: PatternLimits = patternLimits): PatternLanes {
  const lanes = { re2: createLane(limits), ecmascript: createLane(limits) };
  return {
    async run(work) {
      const answer = await lanes[runsWild(work) ? 'ecmascript' : 're2'].ask(work);
      return 'found' in answer ? null : failureOf(answer);
    },
    async find(search) {
      const answer = await lanes[search.pattern.engine].ask(search);
      return 'found' in answer ? answer.found : failureOf(answer);
    },
    async close() {
      await Promise.all([lanes.re2.close(), lanes.ecmascript.close()]);
    },
  };
}

/** Whether it has a pattern whose time nothing bounds but the cap. */
function runsWild({ tests, body }: PatternWork): boolean {
  const { matches = [], notMatches = [], json = [] } = body?.expect ?? {};
  const all = [...tests.map(({ pattern }) => pattern), ...matches, ...notMatches];
  return [...all, ...json.flatMap((each) => each.matches ?? [])].some(
    ({ engine }) => engine === 'ecmascript',
  );
}

function charsOf(work: Work): number {
  const texts = 'pattern' in work ? work.texts : work.tests.flatMap((each) => each.texts);
  const body = 'pattern' in work ? null : work.body;
  return texts.reduce((sum, text) => sum + text.length, body?.text.length ?? 0);
}

interface Job {
  readonly work: Work;
  readonly chars: number;
  readonly waitTimer: NodeJS.Timeout;
  readonly done: (answer: Answer) => void;
}

function createLane(limits: PatternLimits): Lane {
  const waiting: Job[] = [];
  let waitingChars = 0;
  let worker: Worker | null = null;
  let current: Job | null = null;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const kill = async () => {
    const dying = worker;
    worker = null;
    await dying?.terminate();
  };
  const finish = (answer: Answer) => {
    clearTimeout(timer);
    const job = current;
    current = null;
    job?.done(answer);
    next();
  };
  const giveUp = (detail: string) => {
    void kill();
    finish(failed('probe.saturated', detail));
  };
  const begin = (ready: Worker, job: Job) => {
    clearTimeout(timer);
    const detail = `the patterns took more than ${limits.runMs} ms: simpler ones would do better`;
    timer = setTimeout(giveUp, limits.runMs, detail);
    ready.postMessage(job.work);
  };
  const start = (): Worker => {
    const made = startPatternWorker();
    made.on('message', (answer: PatternAnswer) => {
      if (worker !== made || !current) return;
      if ('ready' in answer) begin(made, current);
      else finish(answer);
    });
    const died = (detail: string) => {
      if (worker !== made) return;
      worker = null;
      if (current) finish(failed('probe.saturated', `the pattern engine stopped: ${detail}`));
    };
    made.on('error', (error: NodeJS.ErrnoException) => died(error.code ?? error.message));
    made.on('exit', (code) => died(`exit ${code}`));
    return made;
  };
  const next = () => {
    const job = waiting.shift();
    if (!job) {
      worker?.unref();
      timer = setTimeout(() => void kill(), idleMs).unref();
      return;
    }
    waitingChars -= job.chars;
    clearTimeout(job.waitTimer);
    current = job;
    if (worker) {
      worker.ref();
      return begin(worker, job);
    }
    worker = start();
    timer = setTimeout(giveUp, startMs, `its thread did not start within ${startMs} ms`);
  };

  return {
    ask(work) {
      const chars = charsOf(work);
      if (closed) return Promise.resolve(failed('probe.internal', 'the probe stopped while the check ran'));
      if (waiting.length >= limits.waitingMost || waitingChars + chars > limits.waitingCharsMost)
        return Promise.resolve(failed('probe.saturated', 'too many bodies wait for their patterns'));
      return new Promise((done) => {
        const waitTimer = setTimeout(() => {
          const at = waiting.indexOf(job);
          if (at < 0) return;
          waiting.splice(at, 1);
          waitingChars -= chars;
          done(failed('probe.saturated', `the patterns did not get their turn within ${limits.waitMs} ms`));
        }, limits.waitMs);
        const job: Job = { work, chars, waitTimer, done };
        waiting.push(job);
        waitingChars += chars;
        if (current) return;
        clearTimeout(timer);
        next();
      });
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      const stopped = failed('probe.internal', 'the probe stopped while the check ran');
      for (const job of waiting.splice(0)) {
        clearTimeout(job.waitTimer);
        job.done(stopped);
      }
      const dying = kill();
      if (current) finish(stopped);
      clearTimeout(timer);
      await dying;
    },
  };
}

const failed = (code: FailureCode, message: string): Answer => ({ failure: failure(code, message) });

function failureOf(answer: Exclude<Answer, { found: unknown }>): Failure | null {
  if ('failure' in answer) return answer.failure;
  return failure('probe.internal', `a pattern cannot be used: ${answer.problem}`);
}
