import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createHubClock } from '../../probe/clock/hub-clock.ts';
import { createSteadyClock } from '../../probe/clock/steady-clock.ts';
import { holds, hubTimeByWall, termOf, termOfKept } from '../../probe/lease/lease-term.ts';
import type { LeaseClaims } from '../../shared/lease.ts';

const second = 1_000_000;
const start = 1_800_000_000 * second;

describe('the steady clock', () => {
  test('counts the time that the machine slept, once it looked', () => {
    let [monotonicMs, uptimeMs] = [5000, 900_000];
    const clock = createSteadyClock(
      () => monotonicMs,
      () => uptimeMs,
    );
    expect(clock.nowUs()).toBe(5000 * 1000);
    monotonicMs += 1000;
    uptimeMs += 3_601_000;
    expect(clock.nowUs()).toBe(6000 * 1000);
    clock.look();
    expect(clock.nowUs()).toBe((6000 + 3_600_000) * 1000);
    clock.look();
    expect(clock.nowUs()).toBe((6000 + 3_600_000) * 1000);
  });

  test('takes the coarse steps of the uptime for no sleep', () => {
    let [monotonicMs, uptimeMs] = [0, 0];
    const clock = createSteadyClock(
      () => monotonicMs,
      () => uptimeMs,
    );
    for (let index = 0; index < 1000; index += 1) {
      monotonicMs += 1003;
      uptimeMs = Math.round(monotonicMs / 10) * 10;
      clock.look();
      expect(clock.nowUs()).toBe(monotonicMs * 1000);
    }
  });

  test('never goes back', () => {
    const step = fc.record({ runMs: fc.nat({ max: 10_000 }), sleepMs: fc.nat({ max: 100_000 }) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        let [monotonicMs, uptimeMs] = [0, 0];
        const clock = createSteadyClock(
          () => monotonicMs,
          () => uptimeMs,
        );
        let last = clock.nowUs();
        for (const { runMs, sleepMs } of steps) {
          monotonicMs += runMs;
          uptimeMs += runMs + sleepMs;
          clock.look();
          expect(clock.nowUs()).toBeGreaterThanOrEqual(last);
          last = clock.nowUs();
        }
      }),
    );
  });
});

/** A hub clock over a steady one that a test moves; the hub is `hubAheadUs` ahead of it. */
function scene(startUs = start) {
  let steadyUs = 77_000;
  const clock = createHubClock({ nowUs: () => steadyUs, look: () => undefined }, startUs);
  const zeroUs = steadyUs;
  return {
    clock,
    pass(us: number) {
      steadyUs += us;
    },
    /** Hub time, where the hub began at `start`, and runs `aheadUs` ahead. */
    hub: (aheadUs = 0) => start + (steadyUs - zeroUs) + aheadUs,
  };
}

describe('the hub’s clock', () => {
  test('is this machine’s until the first lease, then the hub’s at once', () => {
    const { clock, hub, pass } = scene(start - 3600 * second);
    pass(second);
    expect(clock.nowUs()).toBe(start - 3599 * second);
    clock.learn(hub(), 2000);
    expect(Math.abs(clock.nowUs() - hub())).toBeLessThanOrEqual(1000);
  });

  test('is slewed, not stepped, by what is less than a second', () => {
    const { clock, hub, pass } = scene();
    clock.learn(hub(), 0);
    clock.learn(hub(500_000), 0);
    let before = clock.nowUs();
    for (let index = 0; index < 300; index += 1) {
      pass(100_000);
      const now = clock.nowUs();
      expect(now - before).toBeGreaterThanOrEqual(98_000);
      expect(now - before).toBeLessThanOrEqual(102_001);
      before = now;
    }
    expect(Math.abs(clock.nowUs() - hub(500_000))).toBeLessThan(2);
  });

  test('believes the sample that travelled fastest', () => {
    const { clock, hub, pass } = scene();
    clock.learn(hub(-1000), 2000);
    for (const delay of [400_000, 900_000, 30_000, 700_000]) {
      pass(8 * second);
      clock.learn(hub(-delay), 8 * second);
    }
    pass(60 * second);
    expect(Math.abs(clock.nowUs() - hub())).toBeLessThanOrEqual(1);
  });

  test('is not set back by the time that it took to verify the lease', () => {
    const { clock, hub, pass } = scene();
    clock.learn(hub(), 1000);
    pass(8 * second);
    const [said, cameUs] = [hub(), 77_000 + 8 * second];
    pass(3 * second);
    clock.learn(said, 8 * second, cameUs);
    expect(Math.abs(clock.nowUs() - hub())).toBeLessThanOrEqual(1000);
  });

  test('follows a hub whose clock was set, forward and back', () => {
    for (const stepUs of [3600 * second, -3600 * second]) {
      const { clock, hub, pass } = scene();
      clock.learn(hub(), 1000);
      pass(8 * second);
      clock.learn(hub(stepUs), 8 * second);
      expect(Math.abs(clock.nowUs() - hub(stepUs))).toBeLessThanOrEqual(1000);
    }
  });

  test('stays within the network’s jitter of the hub’s, whatever the jitter', () => {
    const jitter = fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 2, maxLength: 60 });
    fc.assert(
      fc.property(jitter, fc.integer({ min: -50, max: 50 }), (delays, driftPpm) => {
        const { clock, hub, pass } = scene();
        let driftUs = 0;
        for (const delay of delays) {
          pass(8 * second);
          driftUs += 8 * driftPpm;
          clock.learn(hub(driftUs - delay), 2 * delay);
        }
        pass(60 * second);
        expect(Math.abs(clock.nowUs() - hub(driftUs))).toBeLessThanOrEqual(
          Math.max(...delays) + 8 * 8 * 50 + 60 * 50,
        );
      }),
    );
  });
});

describe('the term of a lease', () => {
  const claims = { now: start, exp: start / second + 3600 } as LeaseClaims;
  const received = { steadyUs: 5 * second, wallMs: 1_000_000 };
  const after = (steadyS: number, wallS: number) => ({
    steadyUs: received.steadyUs + steadyS * second,
    wallMs: received.wallMs + wallS * 1000,
  });
  const cases: [steadyS: number, wallS: number, holds: boolean][] = [
    [0, 0, true],
    [3599, 3599, true],
    [3600, 3599, false],
    [10, 3600, false],
    [10, -7200, true],
    [3601, -7200, false],
  ];
  test.each(cases)('after %d s on the steady and %d s on the wall clock: %s', (steadyS, wallS, expected) => {
    expect(holds(termOf(claims, received), after(steadyS, wallS))).toBe(expected);
  });

  test('that says it ended before it began never holds', () => {
    const past = { ...claims, exp: start / second - 1 };
    expect(holds(termOf(past, received), received)).toBe(false);
  });

  const kept: [wallS: number, left: number | null][] = [
    [0, 3600],
    [600, 3000],
    [3599, 1],
    [3600, null],
    [-30, 3600],
    [-61, null],
  ];
  test.each(kept)('kept on disk, %d s later by the wall clock, has %d s left', (wallS, left) => {
    const now = { steadyUs: 1234, wallMs: received.wallMs + wallS * 1000 };
    const term = termOfKept(claims, { lease: '', receivedAt: received.wallMs }, now);
    expect(term && Math.round((term.steadyUntilUs - now.steadyUs) / second)).toBe(left);
  });

  test('tells hub time by a wall clock that is wrong, as long as it is as wrong as before', () => {
    expect(hubTimeByWall(claims, { lease: '', receivedAt: 1_000_000 }, 1_030_000)).toBe(start + 30 * second);
  });
});
