import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createEvidenceWatch } from '../../../probe/run/evidence-watch.ts';
import type { FailureCode, Outcome } from '../../../shared/failure.ts';
import { resultOf } from '../spool/scene.ts';

/** One endpoint's checks in turn, each as a checker would answer the wish; what was told, in order. */
function told(steps: readonly (FailureCode | 'up' | 'skipped' | 'suspect')[]): string[] {
  const watch = createEvidenceWatch(1e9);
  return steps.map((step) => {
    const wish = watch.wish(1);
    const outcome: Outcome = step === 'up' || step === 'skipped' ? step : 'down';
    const code = step === 'up' ? null : step === 'skipped' || step === 'suspect' ? 'connect.refused' : step;
    const suspect = step === 'suspect';
    const given = wish && outcome === 'down' && wish.unless !== code ? '{}' : null;
    return watch.take({ endpointId: 1, outcome, code, suspect, evidence: given }) === null ? '-' : 'told';
  });
}

const [refused, status, reset] = ['connect.refused', 'expect.status', 'request.reset'] as const;

describe('which failures are told with evidence', () => {
  test.each([
    ['the first after it was up', ['up', status, status, status, 'up', status], '- told - - - told'],
    ['the first of all', [status, status], 'told -'],
    ['one in another way', [status, refused, refused, 'up'], 'told told - -'],
    [
      'what is skipped changes nothing',
      [status, 'skipped', status, 'up', 'skipped', status],
      'told - - - - told',
    ],
    ['what is suspect tells nothing, and is told when it is sure', ['suspect', refused, refused], '- told -'],
    [
      'four of one fall, whatever it does then',
      [status, refused, reset, status, refused, reset, 'up', status],
      'told told told told - - - told',
    ],
  ] as const)('%s', (_, steps, wanted) => expect(told(steps).join(' ')).toBe(wanted));

  test('one whose result was found to be nobody’s failure is told with the next', () => {
    const watch = createEvidenceWatch();
    const take = () =>
      watch.take({ endpointId: 5, outcome: 'down', code: 'connect.refused', suspect: false, evidence: '{}' });
    expect(take()).toBe('{}');
    const sent = resultOf(5, { outcome: 'down', evidence: '{}' });
    expect(watch.settled(sent)).toBe(sent);
    expect(watch.settled({ ...sent, suspect: true }).evidence).toBeNull();
    expect(take()).toBe('{}');
  });
});

describe('when everything fails at once', () => {
  test('so many bytes go in a minute, the others are counted', () => {
    let ms = 0;
    const watch = createEvidenceWatch(10_000, () => ms);
    const fall = (endpointId: number) =>
      watch.take({
        endpointId,
        outcome: 'down',
        code: 'connect.refused',
        suspect: false,
        evidence: 'x'.repeat(1000),
      });
    for (let id = 0; id < 10_000; id += 1) expect(fall(id) !== null).toBe(id < 10);
    expect(watch.dropped()).toBe(9990);
    ms = 30_000;
    expect(
      Array.from({ length: 20 }, (_, at) => fall(20_000 + at)).filter((one) => one !== null),
    ).toHaveLength(5);
    ms = 30 * 60_000;
    expect(
      Array.from({ length: 20 }, (_, at) => fall(30_000 + at)).filter((one) => one !== null),
    ).toHaveLength(10);
  });

  test('never more than that, in whatever steps', () => {
    const step = fc.record({
      waitMs: fc.integer({ min: 0, max: 20_000 }),
      bytes: fc.integer({ min: 1, max: 8192 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        let [ms, sent, id] = [0, 0, 0];
        const watch = createEvidenceWatch(20_000, () => ms);
        for (const { waitMs, bytes } of steps) {
          ms += waitMs;
          id += 1;
          const evidence = 'x'.repeat(bytes);
          const seen = {
            endpointId: id,
            outcome: 'down',
            code: 'connect.refused',
            suspect: false,
            evidence,
          } as const;
          sent += watch.take(seen)?.length ?? 0;
          expect(sent).toBeLessThanOrEqual(20_000 + (ms / 60_000) * 20_000);
        }
      }),
    );
  });
});
