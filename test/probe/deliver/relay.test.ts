import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type OutboxOptions, openOutbox } from '../../../probe/deliver/open-outbox.ts';
import type { Outbox } from '../../../probe/deliver/outbox.ts';
import { retryAfterMs } from '../../../probe/deliver/relay.ts';
import { failure } from '../../../shared/failure.ts';
import { verifyBytes } from '../../../shared/signing.ts';
import { until } from '../../hub/ingest/until.ts';
import { identity, idsOf, quiet, resultOf, testKey } from '../spool/scene.ts';
import { type FakeRelay, fakeRelay, newFolder, plainLink } from './scene.ts';

let relay: FakeRelay;
let folder: Awaited<ReturnType<typeof newFolder>>;
let outbox: Outbox;
let id: number;

beforeEach(async () => {
  relay = await fakeRelay();
  folder = await newFolder();
  id = 0;
});
afterEach(async () => {
  await outbox.stop(AbortSignal.abort());
  await relay.close();
  await folder.remove();
});

async function open(over: Partial<OutboxOptions> = {}): Promise<Outbox> {
  const { timing, ...rest } = over;
  const opened = await openOutbox({
    dir: folder.path,
    identity,
    link: plainLink(() => relay.origin),
    delivery: 'relay',
    log: quiet,
    now: () => Date.now() * 1000,
    limits: { syncMs: 0 },
    timing: { pauseMs: [10, 100], relayTimeoutMs: 300, ...timing },
    ...rest,
  });
  opened.obey({ leaseVersion: 1, lingerMs: 10, durable: [], kafka: null });
  return opened;
}
async function add(count: number, urgent = false): Promise<void> {
  for (let left = count; left > 0; left -= 1) {
    id += 1;
    await outbox.add(resultOf(id), urgent);
  }
}
const arrived = () => new Set(idsOf(relay.received.map(({ content }) => content)));
const all = () => until(() => arrived().size === id);
/** What the lease would say when the hub has all that arrived. */
function confirm(): void {
  const [first] = outbox.status().streams;
  const stream = first?.stream ?? '';
  const seqs = new Set(relay.received.map(({ content }) => content.seq));
  let upTo = 0;
  while (seqs.has(upTo + 1)) upTo += 1;
  outbox.obey({ leaseVersion: 2, lingerMs: 10, durable: [{ stream, upTo }], kafka: null });
}

describe('delivery by the relay', () => {
  test('sends each batch once, signed, with its headers', async () => {
    outbox = await open();
    await add(20);
    await all();
    const [first] = relay.received;
    expect(first?.batch.key).toBe(outbox.status().streams[0]?.stream);
    expect(first && verifyBytes(testKey, first.batch.value, first.batch.headers.sig)).toBe(true);
    const seqs = relay.received.map(({ content }) => content.seq);
    expect(new Set(seqs).size).toBe(seqs.length);
  });

  test('an urgent result leaves within a fraction of a second, whatever the linger', async () => {
    outbox = await open();
    outbox.obey({ leaseVersion: 1, lingerMs: 60_000, durable: [], kafka: null });
    await add(1);
    const beganMs = performance.now();
    await add(1, true);
    await all();
    expect(performance.now() - beganMs).toBeLessThan(1000);
  });

  const troubles: [name: string, behave: Parameters<FakeRelay['behave']>[0]][] = [
    ['503', (_, answer) => void answer.writeHead(503, { 'retry-after': '0' }).end()],
    ['a reset', (request) => void request.socket.resetAndDestroy()],
    ['an end without an answer', (request) => void request.socket.end()],
    ['no answer ever', () => undefined],
    [
      'half an answer',
      (request, answer) => {
        answer.writeHead(204, { 'content-length': '0' });
        request.socket.write('HTTP/1.1 20');
        request.socket.destroy();
      },
    ],
    ['404, as of a hub that is not there yet', (_, answer) => void answer.writeHead(404).end()],
    ['401', (_, answer) => void answer.writeHead(401).end('{}')],
    [
      '429',
      (_, answer) => void answer.writeHead(429, { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }).end(),
    ],
    ['500 with a page', (_, answer) => void answer.writeHead(500).end('<html>'.repeat(10_000))],
  ];
  test.each(troubles)('%s: waits, says so, and goes on by itself with the same bytes', async (_, behave) => {
    outbox = await open();
    relay.behave(behave);
    await add(3);
    await until(() => outbox.status().trouble !== null && relay.received.length >= 2);
    expect(outbox.status().way).toBeNull();
    relay.heal();
    await add(3);
    await all();
    confirm();
    await until(() => outbox.status().trouble === null);
    expect(outbox.status().way).toBe('relay');
    const bytes = new Map<number, string>();
    for (const { content, batch } of relay.received) {
      const text = Buffer.from(batch.value).toString('base64');
      expect(bytes.get(content.seq) ?? text).toBe(text);
      bytes.set(content.seq, text);
    }
  });

  test('while nothing gets out it asks ever more rarely, and fills fewer batches', async () => {
    outbox = await open({ timing: { pauseMs: [50, 400] } });
    relay.behave((_, answer) => void answer.writeHead(503).end());
    await add(1);
    await until(() => relay.received.length === 5, 20_000);
    const times = relay.received.map(({ atMs }) => atMs);
    const [first = 0, second = 0] = times;
    expect((times[4] ?? 0) - first).toBeGreaterThan(4 * 12);
    expect(second - first).toBeGreaterThan(12);
    await add(50);
    expect(outbox.status().streams[0]?.lastSeq).toBe(1);
    relay.heal();
    await all();
    expect(outbox.status().streams[0]?.lastSeq).toBeLessThan(4);
  });

  test('Retry-After is kept', async () => {
    outbox = await open();
    relay.behave((_, answer) => void answer.writeHead(503, { 'retry-after': '1' }).end());
    await add(1);
    await until(() => relay.received.length === 1);
    relay.heal();
    await all();
    await until(() => relay.received.length === 2);
    const [first, second] = relay.received;
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThan(990);
  });

  test('the hub away altogether, then back', async () => {
    outbox = await open();
    await relay.close();
    await add(3);
    await until(() => outbox.status().trouble !== null);
    expect(outbox.status().trouble).toContain('cannot be reached');
    await relay.listen();
    await all();
  });

  test('a batch refused for good is set aside: the others go on, it is not tried hot, and is a gap in the end', async () => {
    outbox = await open({ timing: { parkMs: 50, parkTries: 3 } });
    const refusal = JSON.stringify({ status: 400, code: 'relay.header', detail: 'no' });
    relay.behave((_, answer, { seq }) => {
      if (seq !== 1) return void answer.writeHead(204).end();
      answer.writeHead(400, { 'content-type': 'application/problem+json' }).end(refusal);
    });
    await add(1);
    await until(() => relay.received.length === 1);
    await add(3);
    await all();
    expect(outbox.status()).toMatchObject({ trouble: null, way: 'relay' });
    const triesOfFirst = () => relay.received.filter(({ content }) => content.seq === 1).length;
    await until(() => relay.received.some(({ content }) => content.gaps.length > 0));
    expect(triesOfFirst()).toBe(3);
    const gaps = relay.received.flatMap(({ content }) => content.gaps);
    expect(gaps).toMatchObject([{ fromSeq: 1, toSeq: 1, results: 1, reason: 'refused by the hub' }]);
    expect(outbox.status().dropped).toBe(1);
  });

  test.each([
    ['by a proxy in between, nothing is given up for it', 1, ''],
    ['by the hub in its own words, nothing is given up for it', 1, '{"status":400,"code":"relay.header"}'],
    ['by a proxy, if it is large, the small ones get through and nothing is given up', 2, ''],
  ])('where all is refused %s', async (_, every, words) => {
    outbox = await open({ timing: { parkMs: 50, parkTries: 3, pauseMs: [5, 20] } });
    const taken = new Set<number>();
    let refuses = true;
    relay.behave((_, answer, { seq }) => {
      const refused = refuses && seq % every === 0;
      if (!refused) taken.add(seq);
      answer.writeHead(refused ? 400 : 204).end(refused ? words : '');
    });
    for (let batch = 1; batch <= 40; batch += 1) {
      await add(1, true);
      await wait(15);
    }
    await wait(4500);
    if (every === 1) expect(outbox.status().trouble).toContain('answered 400');
    else expect(taken.size).toBeGreaterThan(3);
    expect(outbox.status().dropped).toBe(0);
    refuses = false;
    await until(() => taken.size === outbox.status().streams[0]?.lastSeq, 20_000);
    expect(relay.received.flatMap(({ content }) => content.gaps)).toEqual([]);
    expect(outbox.status()).toMatchObject({ dropped: 0, trouble: null });
  });

  test('a large backlog does not keep live results waiting', async () => {
    outbox = await open();
    relay.behave((_, answer) => void answer.writeHead(503, { 'retry-after': '0' }).end());
    for (let round = 0; round < 120; round += 1) {
      await add(1);
      await outbox.stop(AbortSignal.abort()).catch(() => undefined);
      outbox = await open({ timing: { backlogPerSecond: 20 } });
    }
    relay.heal();
    await until(() => relay.received.some(({ content }) => content.seq === 1));
    await add(1, true);
    await until(() => arrived().has(id), 2000);
    expect(arrived().size).toBeLessThan(110);
    await until(() => arrived().size === id, 20_000);
  });

  test('a folder that was put back from a backup begins a new stream and loses nothing', async () => {
    outbox = await open();
    await add(3);
    await all();
    const [was] = outbox.status().streams;
    relay.behave(() => undefined);
    await add(2);
    await until(() => (outbox.status().streams[0]?.lastSeq ?? 0) > (was?.lastSeq ?? 0));
    relay.heal();
    relay.received.length = 0;
    const upTo = (outbox.status().streams[0]?.lastSeq ?? 0) + 100;
    outbox.obey({
      leaseVersion: 3,
      lingerMs: 10,
      durable: [{ stream: was?.stream ?? '', upTo }],
      kafka: null,
    });
    await until(
      () => outbox.status().streams[0]?.stream !== was?.stream && outbox.status().streams.length === 1,
    );
    await add(1);
    await until(() => arrived().size === id);
    expect(relay.received.at(-1)?.content.stream).toBe(outbox.status().streams[0]?.stream);
  });

  test.each([
    ['more than was given here', (lastSeq: number) => lastSeq + 100],
    ['numbers that were given here while it was away', (lastSeq: number) => lastSeq],
  ])(
    'put back from a backup, then added to for hours: the hub has %s, and nothing is lost',
    async (_, has) => {
      // Several segments, as a long time makes.
      const limits = { syncMs: 0, maxBytes: 1024 * 1024 };
      relay.behave(() => undefined);
      outbox = await open({ limits });
      const stream = outbox.status().streams[0]?.stream ?? '';
      await add(5);
      await outbox.stop(AbortSignal.abort());
      outbox = await open({ limits });
      for (let round = 0; round < 6; round += 1) {
        const full = Array.from({ length: 500 }, () => {
          id += 1;
          // Compresses badly.
          const message = randomBytes(80).toString('base64');
          const over = { outcome: 'down' as const, failure: failure('connect.refused', message) };
          return outbox.add(resultOf(id, over), false);
        });
        await Promise.all(full);
      }
      expect(outbox.status().spoolBytes).toBeGreaterThan(200_000);
      const told = { stream, upTo: has(outbox.status().streams[0]?.lastSeq ?? 0) };
      const lease = () => outbox.obey({ leaseVersion: 3, lingerMs: 10, durable: [told], kafka: null });
      lease();
      lease();
      relay.heal();
      relay.received.length = 0;
      await until(() => {
        lease();
        const { streams } = outbox.status();
        return streams.length === 1 && streams[0]?.stream !== stream;
      }, 10_000);
      const inNew = () =>
        new Set(
          idsOf(relay.received.map(({ content }) => content).filter((content) => content.stream !== stream)),
        );
      await until(() => inNew().size === id, 10_000);
      expect(outbox.status().dropped).toBe(0);
    },
  );
});

test.each([
  ['2', 2000],
  ['0', 0],
  ['999999', 300_000],
  ['-1', null],
  ['Wed, 21 Oct 2015 07:28:00 GMT', null],
  [null, null],
])('Retry-After: %s is %s ms', (header, ms) => {
  expect(retryAfterMs(header)).toBe(ms);
});
