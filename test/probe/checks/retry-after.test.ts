import { afterEach, describe, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { createRetryAfter } from '../../../probe/checks/retry-after.ts';
import { assignmentOf, startChecker } from './scene.ts';
import { says, startRawServer, whole } from './servers.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

const bytes = (...fields: readonly string[]) => fields.map((field) => Buffer.from(field));

describe('how long a server is left alone', () => {
  test.each<[what: string, status: number, fields: readonly string[], restMs: number]>([
    ['seconds', 429, ['Retry-After', '30'], 30_000],
    ['of a server that is busy', 503, ['retry-after', '5'], 5000],
    ['a 429 that names no time', 429, [], 60_000],
    ['a 503 that names none', 503, [], 0],
    ['any other answer', 200, ['Retry-After', '30'], 0],
    ['an hour at most', 429, ['Retry-After', '864000'], 3_600_000],
    ['nonsense', 429, ['Retry-After', 'soon'], 60_000],
    ['nothing at all', 503, ['Retry-After', '-1'], 0],
    [
      "a date, by the server's own clock",
      429,
      ['Date', 'Tue, 01 Jan 2030 00:00:00 GMT', 'Retry-After', 'Tue, 01 Jan 2030 00:02:00 GMT'],
      120_000,
    ],
    ['a date that is over', 429, ['Retry-After', 'Tue, 01 Jan 2019 00:00:00 GMT'], 0],
  ])('%s', (_, status, fields, restMs) => {
    let now = Date.UTC(2026, 0, 1);
    const rest = createRetryAfter(() => now);
    expect(rest.refuse()).toBeNull();
    rest.note(status, bytes(...fields));
    if (restMs > 0) {
      expect(rest.refuse()).toMatchObject({ code: 'policy.retry_after', source: 'probe' });
      now += restMs - 1;
      expect(rest.refuse()).not.toBeNull();
      now += 1;
    }
    expect(rest.refuse()).toBeNull();
  });

  test('a clock that is set back holds nobody off', () => {
    let now = Date.UTC(2026, 0, 1);
    const rest = createRetryAfter(() => now);
    rest.note(429, bytes('Retry-After', '30'));
    now -= 86_400_000;
    expect(rest.refuse()).toBeNull();
  });
});

describe('an endpoint that respects it', () => {
  async function scene() {
    let asked = 0;
    const site = await startRawServer((socket, request) => {
      asked += 1;
      const answer = asked === 1 ? whole('', ['Retry-After: 20'], '429 Too Many Requests') : whole('well');
      says(answer)(socket, request);
    });
    let now = Date.UTC(2026, 0, 1);
    const checker: Checker = await startChecker({ now: () => now });
    open.push(site, checker);
    return {
      checker,
      asked: () => asked,
      later: (ms: number) => {
        now += ms;
      },
      url: `http://127.0.0.1:${site.port}/`,
    };
  }
  const signal = new AbortController().signal;

  test('is not asked again before the time, and then is', async () => {
    const { checker, url, asked, later } = await scene();
    const assignment = assignmentOf(url, { request: { retryAfter: 'respect' } });
    expect(await checker.check(assignment, signal)).toMatchObject({ outcome: 'down', status: 429 });
    for (let count = 0; count < 5; count += 1) {
      expect(await checker.check(assignment, signal)).toMatchObject({
        outcome: 'skipped',
        failure: { code: 'policy.retry_after' },
      });
      later(3000);
    }
    expect(asked()).toBe(1);
    later(5000);
    expect(await checker.check(assignment, signal)).toMatchObject({ outcome: 'up' });
    expect(asked()).toBe(2);
  });

  test('by default is asked all the same', async () => {
    const { checker, url, asked } = await scene();
    const assignment = assignmentOf(url);
    await checker.check(assignment, signal);
    expect(await checker.check(assignment, signal)).toMatchObject({ outcome: 'up' });
    expect(asked()).toBe(2);
  });
});
