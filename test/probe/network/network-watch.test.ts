import fc from 'fast-check';
import pino from 'pino';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { NetworkLook } from '../../../probe/network/judge-network.ts';
import { createNetworkWatch, type NetworkTiming } from '../../../probe/network/network-watch.ts';
import type { Scope } from '../../../probe/network/scope.ts';
import { assignmentSchema } from '../../../shared/assignment.ts';
import { type FailureCode, failure } from '../../../shared/failure.ts';
import type { Result } from '../../../shared/result.ts';

afterEach(() => void vi.useRealTimers());

const hubSays = (reached: 'answered' | 'refused' | 'silent', scope: Scope = 'public'): NetworkLook => ({
  anchors: [{ what: 'the hub', kind: 'hub', scope, reached }],
  resolver: 'answers',
  resolverWhy: '',
  madeUp: [],
  portal: null,
});
const answered = hubSays('answered');
const silent = hubSays('silent');
const intervalMs = 10_000;

interface Scene {
  readonly out: Result[];
  readonly urgent: boolean[];
  /** Looks that were begun. */
  readonly looks: () => number;
  /** What the next looks find, and how long one takes. */
  look: NetworkLook;
  lookMs: number;
  readonly watch: ReturnType<typeof createNetworkWatch>;
  up(id: number, over?: Partial<Result>): void;
  down(id: number, code?: FailureCode, over?: Partial<Result>): void;
  pass(ms: number): Promise<void>;
  /** Of the newest result of this endpoint. */
  last(id: number): string;
}

async function scene(first: NetworkLook = answered, timing: Partial<NetworkTiming> = {}): Promise<Scene> {
  vi.useFakeTimers({ now: 1_800_000_000_000, toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
  const out: Result[] = [];
  const urgent: boolean[] = [];
  let looks = 0;
  const nowUs = () => Date.now() * 1000;
  const made: Scene = {
    out,
    urgent,
    looks: () => looks,
    look: first,
    lookMs: 50,
    watch: createNetworkWatch({
      async lookAround() {
        looks += 1;
        await new Promise((done) => setTimeout(done, made.lookMs));
        return made.look;
      },
      emit(result, isUrgent) {
        out.push(result);
        urgent.push(isUrgent);
      },
      assignment: assignmentOf,
      nowUs,
      networks: () => ['192.168.7.2/24'],
      log: pino({ level: 'silent' }),
      timing,
    }),
    up: (id, over) => made.watch.take(resultOf(id, null, nowUs(), over), false),
    down: (id, code = 'connect.timeout', over = {}) =>
      made.watch.take(resultOf(id, code, nowUs(), over), true),
    async pass(ms) {
      await vi.advanceTimersByTimeAsync(ms);
    },
    last(id) {
      const result = out.findLast(({ endpointId }) => endpointId === id);
      if (!result) return 'nothing';
      return `${result.outcome}${result.suspect ? ' suspect' : ''}${result.failure ? ` ${result.failure.code}` : ''}`;
    },
  };
  await made.pass(100);
  return made;
}

function assignmentOf(id: number) {
  return assignmentSchema.parse({
    id,
    rev: 1,
    name: `t${id}`,
    url: `https://t${id}.example/`,
    intervalMs,
    timeoutMs: 1000,
    replicas: 1,
    retries: { count: 0, delayMs: 0 },
    robots: 'ignore',
    changedAt: 0,
    request: {},
    expect: {},
  });
}

function resultOf(id: number, code: FailureCode | null, nowUs: number, over: Partial<Result> = {}): Result {
  return {
    endpointId: id,
    rev: 1,
    regionId: 1,
    probeId: 1,
    kind: 'slot',
    scheduledAt: nowUs,
    startedAt: nowUs,
    attempts: 1,
    outcome: code ? 'down' : 'up',
    failure: code && failure(code, 'as it was'),
    firstFailure: null,
    suspect: false,
    status: code ? null : 200,
    httpVersion: null,
    remoteIp: code ? null : '9.9.9.9',
    redirects: 0,
    timings: { dns: null, connect: null, tls: null, wait: null, transfer: null, total: 1000 },
    bytes: 0,
    truncated: false,
    tls: null,
    facts: null,
    evidence: null,
    lateBy: 0,
    ...over,
  };
}

describe('the watch over a probe’s own network', () => {
  test('passes on what is good, and what fails while another target was up a moment ago, at once', async () => {
    const { up, down, out, looks, urgent } = await scene();
    up(1);
    down(2);
    expect(out.map(({ outcome }) => outcome)).toEqual(['up', 'down']);
    expect(urgent).toEqual([false, true]);
    expect(looks()).toBe(1);
  });

  test('holds a failure that nothing speaks for until a look is over, and no longer', async () => {
    const one = await scene();
    one.up(1);
    await one.pass(5000);
    one.down(1);
    expect(one.watch.held()).toBe(1);
    await one.pass(60);
    expect([one.last(1), one.urgent.at(-1), one.looks()]).toEqual(['down connect.timeout', true, 2]);
  });

  test('a success that ended before the failing check began proves nothing for it', async () => {
    const one = await scene();
    one.up(1);
    await one.pass(300);
    one.look = silent;
    one.down(1, 'connect.unreachable');
    one.down(2, 'connect.unreachable');
    expect(one.watch.held()).toBe(2);
    await one.pass(400);
    expect([one.last(1), one.last(2)]).toEqual(['skipped probe.network', 'skipped probe.network']);
  });

  test('looks no more often than it must where many fail one after the other', async () => {
    const one = await scene();
    for (let id = 1; id <= 3; id += 1) one.up(id);
    await one.pass(5000);
    for (let id = 1; id <= 300; id += 1) {
      one.down(id);
      await one.pass(10);
    }
    await one.pass(1000);
    expect(one.watch.held()).toBe(0);
    expect(one.looks()).toBeLessThan(20);
  });

  test('where the hub is silent too it is probe.network, with what was seen, and in no hurry', async () => {
    const one = await scene();
    one.up(1);
    await one.pass(5000);
    one.look = silent;
    one.down(1, 'connect.timeout', { evidence: '{}' });
    await one.pass(60);
    expect(one.last(1)).toBe('skipped probe.network');
    expect(one.urgent.at(-1)).toBe(false);
    expect(one.out.at(-1)).toMatchObject({ firstFailure: 'connect.timeout', suspect: false, evidence: null });
    expect(one.watch.report()).toMatchObject({ state: 'gone', why: expect.stringContaining('the hub') });
    // Known by now: nothing is held any more.
    one.down(2);
    expect(one.last(2)).toBe('skipped probe.network');
  });

  test('what was under way when the network came back is not told as down either', async () => {
    const one = await scene();
    one.up(1);
    await one.pass(5000);
    one.look = silent;
    one.down(1);
    await one.pass(100);
    one.look = answered;
    await one.pass(2000);
    expect(one.watch.report()).toMatchObject({
      state: 'ok',
      why: expect.stringMatching(/^gone for \d+ s: /),
    });
    one.down(2, 'wait.timeout', { timings: { ...resultOf(2, null, 0).timings, total: 5_000_000 } });
    expect(one.last(2)).toBe('skipped probe.network');
    one.down(3, 'connect.refused');
    await one.pass(400);
    expect(one.last(3)).toBe('down connect.refused');
  });

  test('a hub that is away is no network that is gone, while targets answer or none falls', async () => {
    const one = await scene(silent);
    one.up(1);
    await one.pass(65_000);
    expect(one.watch.report().state).toBe('ok');
    one.up(1);
    one.down(2);
    await one.pass(100);
    expect([one.last(2), one.watch.report().state]).toEqual(['down connect.timeout', 'ok']);
  });

  test('from the first moment: a probe that starts without a network calls nothing down', async () => {
    const one = await scene(silent);
    for (let id = 1; id <= 9; id += 1) one.down(id, 'dns.timeout');
    await one.pass(400);
    expect(new Set(one.out.map(({ failure: why }) => why?.code))).toEqual(new Set(['probe.network']));
    expect(one.watch.report().state).toBe('gone');
  });

  test('more than half that fall within an interval are suspect, and honest once it has passed', async () => {
    const one = await scene();
    for (let id = 1; id <= 6; id += 1) one.up(id);
    await one.pass(5000);
    for (let id = 1; id <= 5; id += 1) {
      one.down(id, 'expect.status', { remoteIp: '9.9.9.9' });
      await one.pass(400);
    }
    const seen = [1, 2, 3, 4, 5].map((id) => one.last(id));
    expect(seen).toEqual([
      'down expect.status',
      'down expect.status',
      'down expect.status',
      'down suspect expect.status',
      'down suspect expect.status',
    ]);
    expect(one.watch.report().state).toBe('doubtful');
    await one.pass(intervalMs + 2000);
    expect(one.watch.report().state).toBe('ok');
    for (let id = 1; id <= 5; id += 1) one.down(id, 'expect.status', { remoteIp: '9.9.9.9' });
    await one.pass(400);
    expect([1, 2, 3, 4, 5].map((id) => one.last(id))).toEqual(Array(5).fill('down expect.status'));
  });

  test('exactly half, or most of three, are honest', async () => {
    for (const [count, falling] of [
      [6, 3],
      [3, 3],
    ] as const) {
      const one = await scene();
      for (let id = 1; id <= count; id += 1) one.up(id);
      await one.pass(5000);
      for (let id = 1; id <= falling; id += 1) one.down(id, 'connect.refused');
      await one.pass(400);
      for (let id = 1; id <= falling; id += 1) expect(one.last(id)).toBe('down connect.refused');
      one.watch.stop();
    }
  });

  test('another failure than before is looked into, the same one is not', async () => {
    const one = await scene();
    one.down(1, 'dns.nxdomain');
    await one.pass(5000);
    const before = one.looks();
    one.down(1, 'dns.nxdomain');
    expect([one.watch.held(), one.looks()]).toEqual([0, before]);
    one.look = silent;
    one.down(1, 'dns.timeout');
    await one.pass(400);
    expect(one.last(1)).toBe('skipped probe.network');
  });

  test('a look that never ends holds nothing back for long, and not without a limit', async () => {
    const one = await scene(answered, { mostHeld: 50, mostHeldMs: 3000 });
    one.lookMs = 2500;
    for (let id = 1; id <= 80; id += 1) one.down(id);
    expect(one.watch.held()).toBeLessThanOrEqual(50);
    expect(one.out).toHaveLength(30);
    await one.pass(6000);
    expect(one.watch.held()).toBe(0);
    expect(one.out).toHaveLength(80);
  });

  test('a fault of its own holds nothing back', async () => {
    const one = await scene();
    Object.defineProperty(one, 'look', {
      get() {
        throw new Error('a bug');
      },
    });
    one.down(1);
    await one.pass(5000);
    expect(one.last(1)).toBe('down connect.timeout');
  });

  const step = fc.oneof(
    fc.record({
      id: fc.integer({ min: 1, max: 8 }),
      code: fc.constantFrom<FailureCode | null>(
        null,
        'connect.timeout',
        'dns.timeout',
        'expect.status',
        'probe.overrun',
      ),
    }),
    fc.record({ pass: fc.integer({ min: 1, max: 12_000 }) }),
    fc.record({
      look: fc.constantFrom<NetworkLook>(
        answered,
        silent,
        { ...answered, madeUp: ['9.9.9.9'] },
        { ...answered, portal: 'a portal' },
        { ...silent, resolver: 'silent' },
      ),
    }),
  );

  test('every result comes out once, whatever the network does, and nothing good is told as bad', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const one = await scene(answered, { mostHeld: 3 });
        const given: Result[] = [];
        let at = 1;
        for (const each of steps) {
          if ('pass' in each) await one.pass(each.pass);
          else if ('look' in each) one.look = each.look;
          else {
            const result = {
              ...resultOf(each.id, each.code, at),
              outcome:
                each.code === 'probe.overrun'
                  ? ('skipped' as const)
                  : each.code
                    ? ('down' as const)
                    : ('up' as const),
            };
            at += 1;
            given.push(result);
            one.watch.take(result, true);
          }
        }
        one.watch.stop();
        expect(one.out.map(({ scheduledAt }) => scheduledAt).sort((a, b) => a - b)).toEqual(
          given.map(({ scheduledAt }) => scheduledAt),
        );
        const before = new Map(given.map((result) => [result.scheduledAt, result]));
        for (const result of one.out) {
          const was = before.get(result.scheduledAt);
          if (result.outcome === 'down') expect(was?.outcome).toBe('down');
          if (was?.outcome === 'up') expect(result.suspect).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
  });
});
