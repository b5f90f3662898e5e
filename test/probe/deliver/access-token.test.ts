import { expect, test, vi } from 'vitest';
import { createAccessTokens } from '../../../probe/deliver/access-token.ts';
import type { HubAnswer, HubLink } from '../../../probe/hub/hub-link.ts';

function hub(answers: readonly (object | number)[]) {
  const asked: string[] = [];
  const link: HubLink = {
    async request(method, path): Promise<HubAnswer> {
      const answer = answers[Math.min(asked.length, answers.length - 1)];
      asked.push(`${method} ${path}`);
      if (typeof answer === 'number') {
        const problem = Buffer.from(JSON.stringify({ code: 'kafka.none', detail: 'no Kafka here' }));
        return { status: answer, headers: new Headers(), body: problem };
      }
      return { status: 200, headers: new Headers(), body: Buffer.from(JSON.stringify(answer)) };
    },
  };
  return { asked, token: createAccessTokens(link, new AbortController().signal) };
}
const answer = (token: string, ttlSeconds = 600) => ({ token, expiresAt: 1, ttlSeconds });

test('one token serves every connection until most of its life is over', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  try {
    const { asked, token } = hub([answer('a'), answer('b')]);
    expect(await Promise.all([token(), token(), token()])).toEqual(['a', 'a', 'a']);
    expect(asked).toEqual(['POST /v1/kafka-token']);
    vi.advanceTimersByTime(359_000);
    expect(await token()).toBe('a');
    vi.advanceTimersByTime(2000);
    expect(await token()).toBe('b');
    expect(asked).toHaveLength(2);
  } finally {
    vi.useRealTimers();
  }
});

test('a refusal says what the hub said, and the next connection asks again', async () => {
  const { token } = hub([404, answer('a')]);
  await expect(token()).rejects.toThrow('the hub gives no token for Kafka: 404 kafka.none no Kafka here');
  expect(await token()).toBe('a');
});
