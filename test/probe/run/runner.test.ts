import pino from 'pino';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createRunner, type Runner, type RunnerOptions, type Task } from '../../../probe/run/runner.ts';
import { type Assignment, assignmentSchema } from '../../../shared/assignment.ts';
import { type FailureCode, failure, outcomeOf } from '../../../shared/failure.ts';
import type { Observation, Result } from '../../../shared/result.ts';

afterEach(() => void vi.useRealTimers());

function observation(code: FailureCode | null): Observation {
  return {
    outcome: code ? outcomeOf(code) : 'up',
    failure: code ? failure(code, code) : null,
    status: code ? null : 200,
    httpVersion: '1.1',
    remoteIp: '192.0.2.1',
    redirects: 0,
    timings: { dns: 1, connect: 2, tls: null, wait: 3, transfer: 4, total: 10 },
    bytes: 5,
    truncated: false,
    facts: null,
    evidence: null,
    tls: null,
  };
}

function assignment(over: Partial<Assignment> = {}): Assignment {
  const base = assignmentSchema.parse({
    id: 1,
    rev: 4,
    name: 'a',
    url: 'http://example.com/',
    intervalMs: 10_000,
    timeoutMs: 1000,
    replicas: 1,
    retries: { count: 0, delayMs: 0 },
    robots: 'ignore',
    changedAt: 0,
    request: {},
    expect: {},
  });
  return { ...base, ...over } as Assignment;
}

interface Scene {
  readonly runner: Runner;
  readonly results: Result[];
  readonly urgent: boolean[];
  /** The instants at which attempts began. */
  readonly attempts: number[];
  nowUs(): number;
  task(over?: Partial<Assignment>, task?: Partial<Task>): Task;
}

/** A check takes `tookMs` and comes to the next of the codes, the last one again and again. */
function scene(
  codes: readonly (FailureCode | null)[],
  tookMs = 100,
  over: Partial<RunnerOptions> = {},
): Scene {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
  const results: Result[] = [];
  const urgent: boolean[] = [];
  const attempts: number[] = [];
  const left = [...codes];
  const nowUs = () => Date.now() * 1000;
  const runner = createRunner({
    probeId: 9,
    regionId: 7,
    nowUs,
    log: pino({ level: 'silent' }),
    mostAtOnce: 10,
    emit(result, isUrgent) {
      results.push(result);
      urgent.push(isUrgent);
    },
    checker: {
      async check(_assignment, signal) {
        attempts.push(nowUs());
        const code = left.length > 1 ? (left.shift() ?? null) : (left[0] ?? null);
        await new Promise<void>((done) => {
          const timer = setTimeout(done, tookMs);
          signal.addEventListener('abort', () => {
            clearTimeout(timer);
            done();
          });
        });
        return { observation: observation(signal.aborted ? 'probe.internal' : code), disturbed: false };
      },
      noiseUs: () => 0,
      close: async () => undefined,
    },
    ...over,
  });
  onTestFinished(() => void runner.drain(AbortSignal.abort()));
  return {
    runner,
    results,
    urgent,
    attempts,
    nowUs,
    task(wanted = {}, task = {}) {
      const one = assignment(wanted);
      const scheduledAtUs = nowUs();
      return {
        assignment: one,
        kind: 'slot',
        scheduledAtUs,
        nextUs: scheduledAtUs + one.intervalMs * 1000,
        ...task,
      };
    },
  };
}

describe('a result', () => {
  test('says who, what, when and how late', async () => {
    const { runner, results, task, nowUs } = scene([null]);
    const due = nowUs() - 1500;
    runner.run(task({}, { scheduledAtUs: due }));
    await vi.advanceTimersByTimeAsync(200);
    expect(results).toEqual([
      {
        endpointId: 1,
        rev: 4,
        regionId: 7,
        probeId: 9,
        kind: 'slot',
        scheduledAt: due,
        startedAt: due + 1500,
        lateBy: 1500,
        attempts: 1,
        firstFailure: null,
        suspect: false,
        ...observation(null),
      },
    ]);
  });

  test('of a slot that was not run says why', () => {
    const { runner, results, task } = scene([null]);
    runner.skip(task(), 'probe.paused', 'it slept');
    expect(results).toMatchObject([
      {
        outcome: 'skipped',
        attempts: 0,
        failure: { code: 'probe.paused', source: 'probe' },
        timings: { total: 0 },
      },
    ]);
  });

  test('of a check with a bug is skipped as internal, and the next one runs', async () => {
    let calls = 0;
    const { runner, results, task } = scene([], 0, {
      checker: {
        async check() {
          calls += 1;
          throw new Error('a bug');
        },
        noiseUs: () => 0,
        close: async () => undefined,
      },
    });
    runner.run(task());
    await vi.advanceTimersByTimeAsync(1);
    runner.run(task());
    await vi.advanceTimersByTimeAsync(1);
    expect(calls).toBe(2);
    expect(results.map(({ failure: why }) => why?.code)).toEqual(['probe.internal', 'probe.internal']);
  });
});

describe('retries', () => {
  const retries = { count: 2, delayMs: 1000 };
  const cases: [codes: (FailureCode | null)[], outcome: string, attempts: number, first: string | null][] = [
    [[null], 'up', 1, null],
    [['connect.refused', null], 'up', 2, 'connect.refused'],
    [['connect.refused', 'wait.timeout', null], 'up', 3, 'connect.refused'],
    [['connect.refused', 'connect.refused', 'wait.timeout'], 'down', 3, 'connect.refused'],
    [['connect.refused'], 'down', 3, null],
    [['expect.cert'], 'degraded', 1, null],
    [['policy.blocked'], 'skipped', 1, null],
  ];
  test.each(cases)('%j is %s after %d', async (codes, outcome, attempts, first) => {
    const { runner, results, task } = scene(codes);
    runner.run(task({ retries }));
    await vi.advanceTimersByTimeAsync(5000);
    expect(results).toMatchObject([{ outcome, attempts, firstFailure: first }]);
  });

  test('wait for their delay, and end before the next slot', async () => {
    const { runner, results, attempts, task, nowUs } = scene(['connect.refused']);
    const startUs = nowUs();
    runner.run(task({ intervalMs: 5000, timeoutMs: 1000, retries: { count: 10, delayMs: 700 } }));
    await vi.advanceTimersByTimeAsync(6000);
    expect(attempts.map((at) => (at - startUs) / 1000)).toEqual(
      [0, 800, 1600, 2400, 3200, 4000].filter((ms) => ms + 1000 <= 5000),
    );
    expect(results).toMatchObject([{ outcome: 'down' }]);
  });
});

describe('overrun', () => {
  test('is said where the deadline of the slot before allowed it', async () => {
    const { runner, results, task } = scene([null], 1900);
    const wanted = { intervalMs: 1000, timeoutMs: 1000, id: 5 };
    // It began late, so that its deadline lies past the next slot.
    const first = task(wanted);
    await vi.advanceTimersByTimeAsync(600);
    runner.run(first);
    await vi.advanceTimersByTimeAsync(400);
    runner.run(task(wanted));
    expect(results).toMatchObject([{ outcome: 'skipped', failure: { code: 'probe.overrun' } }]);
    await vi.advanceTimersByTimeAsync(2000);
    expect(results.length).toBe(2);
  });

  test('is the probe’s own where the check should have ended', async () => {
    const { runner, results, task } = scene([null], 3000);
    runner.run(task({ intervalMs: 1000, timeoutMs: 500 }));
    await vi.advanceTimersByTimeAsync(1000);
    runner.run(task({ intervalMs: 1000, timeoutMs: 500 }));
    expect(results).toMatchObject([{ failure: { code: 'probe.saturated' } }]);
  });

  test('an extra slot or a confirmation runs beside the slot', async () => {
    const { runner, results, task } = scene([null], 500);
    runner.run(task());
    runner.run(task({}, { kind: 'extra' }));
    runner.run(task({}, { kind: 'confirm' }));
    await vi.advanceTimersByTimeAsync(600);
    expect(results.map(({ kind, outcome }) => [kind, outcome])).toEqual([
      ['slot', 'up'],
      ['extra', 'up'],
      ['confirm', 'up'],
    ]);
  });

  test('a check that outlives its deadline by far is cut off', async () => {
    const { runner, results, task } = scene([null], 3_600_000);
    runner.run(task({ timeoutMs: 1000 }));
    await vi.advanceTimersByTimeAsync(8000);
    expect(results).toMatchObject([{ failure: { code: 'probe.internal' } }]);
    expect(runner.running()).toBe(0);
  });
});

describe('limits', () => {
  test('so many run at once, as many wait, the rest is skipped as saturated', async () => {
    const { runner, results, task } = scene([null], 200, { mostAtOnce: 3 });
    for (let id = 1; id <= 8; id += 1) runner.run(task({ id }));
    expect([runner.running(), runner.waiting()]).toEqual([3, 3]);
    expect(results.map(({ endpointId, failure: why }) => [endpointId, why?.code])).toEqual([
      [7, 'probe.saturated'],
      [8, 'probe.saturated'],
    ]);
    await vi.advanceTimersByTimeAsync(500);
    expect(results.filter(({ outcome }) => outcome === 'up').length).toBe(6);
    runner.run(task({ id: 7 }));
    await vi.advanceTimersByTimeAsync(300);
    expect(results.at(-1)).toMatchObject({ endpointId: 7, outcome: 'up' });
  });

  test('what waited longer than a second is not run any more', async () => {
    const { runner, results, task } = scene([null], 1500, { mostAtOnce: 1 });
    runner.run(task({ id: 1 }));
    runner.run(task({ id: 2 }));
    await vi.advanceTimersByTimeAsync(2000);
    expect(results.map(({ endpointId, outcome }) => [endpointId, outcome])).toEqual([
      [1, 'up'],
      [2, 'skipped'],
    ]);
    expect([runner.running(), runner.waiting()]).toEqual([0, 0]);
  });
});

test('what changed, what fails at first sight and what somebody waits for is urgent', async () => {
  const { runner, urgent, task } = scene(
    [null, null, 'wait.timeout', 'wait.timeout', null, 'policy.blocked', null],
    0,
  );
  for (let slot = 0; slot < 7; slot += 1) {
    runner.run(task({ retries: { count: 0, delayMs: 0 } }));
    await vi.advanceTimersByTimeAsync(10);
  }
  expect(urgent).toEqual([false, false, true, false, true, false, false]);
  runner.run(task({}, { kind: 'extra' }));
  await vi.advanceTimersByTimeAsync(10);
  expect(urgent.at(-1)).toBe(true);
  const other = scene(['connect.refused'], 0);
  other.runner.run(other.task({ id: 2 }));
  await vi.advanceTimersByTimeAsync(10);
  expect(other.urgent).toEqual([true]);
});

describe('stopping', () => {
  test('what runs may end and is reported; nothing new begins', async () => {
    const { runner, results, task } = scene([null], 300);
    runner.run(task());
    const stopped = runner.drain(new AbortController().signal);
    runner.run(task({ id: 2 }));
    await vi.advanceTimersByTimeAsync(300);
    await stopped;
    expect(results.map(({ endpointId }) => endpointId)).toEqual([1]);
  });

  test('what does not end in time is abandoned without a word', async () => {
    const { runner, results, task } = scene([null], 60_000);
    const impatient = new AbortController();
    runner.run(task({ timeoutMs: 60_000, intervalMs: 60_000 }));
    const stopped = runner.drain(impatient.signal);
    await vi.advanceTimersByTimeAsync(100);
    impatient.abort();
    await stopped;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(results).toEqual([]);
  });
});

test('what this machine cannot do is said in its log, once', async () => {
  const said: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => said.push(line) });
  const { runner, task } = scene(['probe.unable'], 1, { log });
  for (const id of [1, 2, 3]) runner.run(task({ id }));
  await vi.advanceTimersByTimeAsync(100);
  expect(said).toHaveLength(1);
  expect(said[0]).toContain('this machine cannot do what an endpoint asks for, and skips it: probe.unable');
});

test('a day of slots leaves nothing behind', async () => {
  const { runner, results, task } = scene([null, 'wait.timeout'], 1);
  for (let slot = 0; slot < 2000; slot += 1) {
    runner.run(task({ id: 1 + (slot % 50) }));
    await vi.advanceTimersByTimeAsync(2);
  }
  expect(results.length).toBe(2000);
  expect([runner.running(), runner.waiting()]).toEqual([0, 0]);
});
