import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createBodyRoom, gatherBody } from '../../../probe/checks/body-room.ts';
import { assignmentOf, checkOnce, startChecker } from './scene.ts';
import { startRawServer } from './servers.ts';

test('what was gathered is what came, however it came', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
      const body = gatherBody();
      const sent = chunks.map((chunk) => Buffer.from(chunk));
      for (const chunk of sent) body.add(chunk);
      expect(body.whole()).toEqual(Buffer.concat(chunks));
      // The first chunk is kept where it is: what comes after must not be written over it.
      expect(sent.map((chunk) => [...chunk])).toEqual(chunks.map((chunk) => [...chunk]));
    }),
  );
});

test('room is what nobody has taken, and comes back whole', () => {
  const room = createBodyRoom(100);
  const [one, other] = [room.share(), room.share()];
  expect([one.take(60), other.take(50), other.take(40), one.take(1)]).toEqual([true, false, true, false]);
  one.close();
  one.close();
  expect(room.taken()).toBe(40);
  expect(other.take(60)).toBe(true);
});

describe('bodies of many checks at once', () => {
  /** Sends half of a body, and the rest when told. */
  async function slowSite(half: number) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const site = await startRawServer(async (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${2 * half}\r\n\r\n${'x'.repeat(half)}`);
      await promise;
      socket.end('x'.repeat(half));
    });
    onTestFinished(() => site.close());
    return { url: `http://127.0.0.1:${site.port}/`, goOn: resolve };
  }
  const expecting = { expect: { body: { matches: ['xx'] } } };

  test('that have no room left are the probe’s own limit, and later ones have it again', async () => {
    const checker = await startChecker({ bodyRoomBytes: 150_000 });
    onTestFinished(() => checker.close());
    const first = await slowSite(50_000);
    const running = checkOnce(checker, first.url, expecting);
    await wait(100);
    const second = await slowSite(60_000);
    second.goOn();
    expect((await checkOnce(checker, second.url, expecting)).failure).toMatchObject({
      code: 'probe.saturated',
      source: 'probe',
    });
    // Nobody reads this one: its bytes are counted only.
    expect((await checkOnce(checker, second.url)).outcome).toBe('up');
    first.goOn();
    expect((await running).outcome).toBe('up');
    expect((await checkOnce(checker, second.url, expecting)).outcome).toBe('up');
  });

  test('take no more memory for coming in crumbs', async () => {
    const checker = await startChecker();
    onTestFinished(() => checker.close());
    const crumbs = '1\r\nx\r\n'.repeat(10_000);
    const site = await startRawServer(async (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      for (let sent = 0; sent < 100; sent += 1)
        if (!socket.write(crumbs)) await new Promise((done) => socket.once('drain', done));
    });
    onTestFinished(() => site.close());
    const slow = assignmentOf(`http://127.0.0.1:${site.port}/`, { timeoutMs: 3000, ...expecting });
    const before = process.memoryUsage().heapUsed;
    const running = checker.check(slow, new AbortController().signal);
    await wait(2500);
    const took = process.memoryUsage().heapUsed - before;
    expect((await running).failure?.code).toBe('body.timeout');
    expect((await running).bytes).toBe(1_000_000);
    expect(took).toBeLessThan(60_000_000);
  });
});
