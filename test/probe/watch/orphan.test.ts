import { createServer } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import pino from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createOrphanWatch } from '../../../probe/watch/orphan.ts';

const probe = { id: 7, name: 'fra-1', region: 'eu-west', hub: 'https://hub.example' };
const log = pino({ level: 'silent' });
const minute = 60_000;

async function receiver(answers: readonly number[] = []) {
  const bodies: Record<string, unknown>[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += String(chunk);
    });
    request.on('end', () => {
      bodies.push(JSON.parse(text));
      response.writeHead(answers[bodies.length - 1] ?? 204).end();
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => void server.close());
  const { port } = server.address() as { port: number };
  const got = async (count: number) => {
    for (let tries = 0; tries < 200 && bodies.length < count; tries += 1) await wait(10);
    return bodies.map(({ event }) => event);
  };
  return { url: `http://127.0.0.1:${port}/hook`, bodies, got };
}

describe('a hub that is away', () => {
  test('for less than five minutes is told nobody', async () => {
    const { url, bodies } = await receiver();
    let nowMs = 0;
    const watch = createOrphanWatch({ url, probe, log, nowMs: () => nowMs });
    watch.look('no answer');
    nowMs = 5 * minute - 1;
    watch.look('no answer');
    watch.look(null);
    nowMs = 20 * minute;
    watch.look(null);
    await wait(50);
    expect(bodies).toEqual([]);
  });

  test('for longer is told once, and once that it is back', async () => {
    const { url, bodies, got } = await receiver();
    let nowMs = Date.UTC(2026, 0, 1);
    const watch = createOrphanWatch({ url, probe, log, nowMs: () => nowMs });
    for (let step = 0; step <= 10; step += 1) {
      watch.look('nobody listens there');
      nowMs += minute;
    }
    expect(await got(1)).toEqual(['hub.away']);
    expect(bodies[0]).toEqual({
      event: 'hub.away',
      probe: { id: 7, name: 'fra-1' },
      region: 'eu-west',
      hub: 'https://hub.example',
      since: '2026-01-01T00:00:00.000Z',
      at: '2026-01-01T00:05:00.000Z',
      why: 'nobody listens there',
    });
    watch.look(null);
    expect(await got(2)).toEqual(['hub.away', 'hub.back']);
    watch.look(null);
    watch.look('again');
    await wait(50);
    expect(bodies.length).toBe(2);
  });

  test('is told again where the webhook did not take it, not in a circle', async () => {
    const { url, bodies, got } = await receiver([500, 500, 204]);
    let nowMs = 0;
    const watch = createOrphanWatch({ url, probe, log, nowMs: () => nowMs, afterMs: 0 });
    watch.look('gone');
    await got(1);
    for (const [atMs, count] of [
      [5000, 1],
      [10_100, 2],
      [60_000, 2],
      [75_000, 3],
      [600_000, 3],
    ] as const) {
      await wait(30);
      nowMs = atMs;
      watch.look('gone');
      await got(count);
      await wait(30);
      expect(bodies.length).toBe(count);
    }
  });
});
