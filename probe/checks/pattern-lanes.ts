import type { Worker } from 'node:worker_threads';
import { type Failure, failure } from '../../shared/failure.ts';
import { type PatternAnswer, type PatternWork, startPatternWorker } from './pattern-worker.ts';

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
  close(): Promise<void>;
}

const idleMs = 30_000;
/** A thread reads the whole bundle before it can begin; on a busy machine that takes longer than any pattern may. */
const startMs = 10_000;

/** One thread an engine, so that an ECMAScript pattern that runs wild makes no linear one wait. */
export function createPatternLanes(limits: PatternLimits = patternLimits): PatternLanes {
  const lanes = { re2: createLane(limits), ecmascript: createLane(limits) };
  return {
    run: (work) => lanes[runsWild(work) ? 'ecmascript' : 're2'].run(work),
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

function charsOf({ tests, body }: PatternWork): number {
  const texts = tests.flatMap((each) => each.texts);
  return texts.reduce((sum, text) => sum + text.length, body?.text.length ?? 0);
}

interface Job {
  readonly work: PatternWork;
  readonly chars: number;
  readonly waitTimer: NodeJS.Timeout;
  readonly done: (why: Failure | null) => void;
}

function createLane(limits: PatternLimits): PatternLanes {
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
  const finish = (why: Failure | null) => {
    clearTimeout(timer);
    const job = current;
    current = null;
    job?.done(why);
    next();
  };
  const giveUp = (detail: string) => {
    void kill();
    finish(failure('probe.saturated', detail));
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
      else finish(verdict(answer));
    });
    const died = (detail: string) => {
      if (worker !== made) return;
      worker = null;
      if (current) finish(failure('probe.saturated', `the pattern engine stopped: ${detail}`));
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
    run(work) {
      const chars = charsOf(work);
      if (closed) return Promise.resolve(failure('probe.internal', 'the probe stopped while the check ran'));
      if (waiting.length >= limits.waitingMost || waitingChars + chars > limits.waitingCharsMost)
        return Promise.resolve(failure('probe.saturated', 'too many bodies wait for their patterns'));
      return new Promise((done) => {
        const waitTimer = setTimeout(() => {
          const at = waiting.indexOf(job);
          if (at < 0) return;
          waiting.splice(at, 1);
          waitingChars -= chars;
          done(failure('probe.saturated', `the patterns did not get their turn within ${limits.waitMs} ms`));
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
      const stopped = failure('probe.internal', 'the probe stopped while the check ran');
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

function verdict(answer: Exclude<PatternAnswer, { ready: true }>): Failure | null {
  if ('failure' in answer) return answer.failure;
  return failure('probe.internal', `a pattern cannot be used: ${answer.problem}`);
}
