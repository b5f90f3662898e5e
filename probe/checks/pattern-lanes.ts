import type { Worker } from 'node:worker_threads';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Pattern } from '../../shared/pattern.ts';
import type { TextTest } from './body-judge.ts';
import { type MatchAnswer, type MatchGroup, startPatternWorker } from './pattern-worker.ts';

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
  waitingMost: 500,
  waitingCharsMost: 32 * 1_048_576,
};

/** Regular expressions away from the event loop. After the clock of a check has stopped: nothing here is measured. */
export interface PatternLanes {
  /** Null where every test is met, else the first failure; `probe.saturated` where the cap was reached. */
  run(tests: readonly TextTest[]): Promise<Failure | null>;
  close(): Promise<void>;
}

const idleMs = 30_000;

/** One thread an engine, so that an ECMAScript pattern that runs wild makes no linear one wait. */
export function createPatternLanes(limits: PatternLimits = patternLimits): PatternLanes {
  const lanes = { re2: createLane(limits), ecmascript: createLane(limits) };
  return {
    async run(tests) {
      for (const engine of ['re2', 'ecmascript'] as const) {
        const mine = tests.filter((test) => test.pattern.engine === engine);
        const why = mine.length === 0 ? null : await lanes[engine].run(mine);
        if (why) return why;
      }
      return null;
    },
    async close() {
      await Promise.all([lanes.re2.close(), lanes.ecmascript.close()]);
    },
  };
}

interface Job {
  readonly tests: readonly TextTest[];
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
  const start = (): Worker => {
    const made = startPatternWorker();
    made.on('message', (answer: MatchAnswer) => {
      if (worker === made && current) finish(verdict(current.tests, answer));
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
    worker ??= start();
    worker.ref();
    timer = setTimeout(() => {
      void kill();
      finish(
        failure(
          'probe.saturated',
          `the patterns took more than ${limits.runMs} ms: simpler ones would do better`,
        ),
      );
    }, limits.runMs);
    worker.postMessage(groupsOf(job.tests));
  };

  return {
    run(tests) {
      const chars = tests.reduce(
        (sum, { texts }) => sum + texts.reduce((all, text) => all + text.length, 0),
        0,
      );
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
        const job: Job = { tests, chars, waitTimer, done };
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

/** A body goes over to the thread once, whatever the number of patterns. */
function groupsOf(tests: readonly TextTest[]): readonly MatchGroup[] {
  const groups: { texts: readonly string[]; patterns: Pattern[] }[] = [];
  for (const { texts, pattern } of tests) {
    const last = groups.at(-1);
    const same = last?.texts.length === texts.length && last.texts.every((text, at) => text === texts[at]);
    if (last && same) last.patterns.push(pattern);
    else groups.push({ texts, patterns: [pattern] });
  }
  return groups;
}

function verdict(tests: readonly TextTest[], answer: MatchAnswer): Failure | null {
  if ('problem' in answer) return failure('probe.internal', `a pattern cannot be used: ${answer.problem}`);
  const found = answer.found.flat();
  return tests.find(({ wanted }, at) => found[at] !== wanted)?.failure ?? null;
}
