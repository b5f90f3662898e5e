import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openOutbox } from '../../../probe/deliver/open-outbox.ts';
import type { Outbox } from '../../../probe/deliver/outbox.ts';
import { until } from '../../hub/ingest/until.ts';
import { identity, idsOf, quiet, resultOf } from '../spool/scene.ts';
import { type FakeRelay, fakeRelay, newFolder, plainLink } from './scene.ts';

let relay: FakeRelay;
let folder: Awaited<ReturnType<typeof newFolder>>;
let outbox: Outbox;

beforeEach(async () => {
  relay = await fakeRelay();
  folder = await newFolder();
});
afterEach(async () => {
  await outbox.stop(AbortSignal.abort());
  await relay.close();
  await folder.remove();
});

async function open(over: Partial<typeof identity> = {}): Promise<void> {
  outbox = await openOutbox({
    dir: folder.path,
    identity: { ...identity, ...over },
    link: plainLink(() => relay.origin),
    delivery: 'relay',
    log: quiet,
    now: () => Date.now() * 1000,
    limits: { syncMs: 0 },
    timing: { pauseMs: [10, 50] },
  });
  lease();
}
function lease(durable: { stream: string; upTo: number }[] = []): void {
  outbox.obey({ leaseVersion: 1, lingerMs: 10, durable, kafka: null });
}
const arrived = () => new Set(idsOf(relay.received.map(({ content }) => content)));
const streams = () => outbox.status().streams.map(({ stream }) => stream);
/** What reached the relay, as leases would tell it; gap records count as received. */
function confirm(): void {
  const durable = streams().map((stream) => {
    const seqs = new Set<number>();
    let upTo = 0;
    const contents = relay.received
      .map(({ content }) => content)
      .filter((content) => content.stream === stream);
    const gaps = contents.flatMap((content) => content.gaps);
    for (const { seq } of contents) seqs.add(seq);
    for (let moved = true; moved; ) {
      const gap = gaps.find(({ fromSeq, toSeq }) => fromSeq <= upTo + 1 && toSeq > upTo);
      moved = gap !== undefined || seqs.has(upTo + 1);
      upTo = gap?.toSeq ?? (moved ? upTo + 1 : upTo);
    }
    return { stream, upTo };
  });
  lease(durable);
}

test('a restart goes on with its stream; a stop delivers what it can', async () => {
  await open();
  const [stream] = streams();
  for (let id = 1; id <= 5; id += 1) await outbox.add(resultOf(id), false);
  await outbox.stop(AbortSignal.timeout(5000));
  expect(arrived().size).toBe(5);
  await open();
  expect(streams()).toEqual([stream]);
});

test('a head that cannot be read: a new stream, and the old one is delivered, then removed', async () => {
  relay.behave((_, answer) => void answer.writeHead(503, { 'retry-after': '0' }).end());
  await open();
  const [old = ''] = streams();
  await outbox.add(resultOf(1), true);
  await until(() => relay.received.length > 0);
  await outbox.add(resultOf(2), false);
  await outbox.stop(AbortSignal.abort());
  relay.heal();
  relay.received.length = 0;
  writeFileSync(join(folder.path, old, 'head.json'), '{"probeId":');

  await open();
  expect(streams()).toHaveLength(2);
  expect(streams()[0]).not.toBe(old);
  await outbox.add(resultOf(3), false);
  await until(() => arrived().size === 3);
  const last = relay.received.find(({ content }) =>
    content.results.some(({ endpointId }) => endpointId === 3),
  );
  expect(last?.content.stream).toBe(streams()[0]);
  await until(() => {
    confirm();
    return streams().length === 1;
  });
  await until(() => !existsSync(join(folder.path, old)));
  const numbers = relay.received.map(({ content }) => `${content.stream} ${content.seq}`);
  expect(new Set(numbers).size).toBe(numbers.length);
});

test('a spool of another probe is not spoken for', async () => {
  relay.behave((_, answer) => void answer.writeHead(503, { 'retry-after': '0' }).end());
  await open();
  const [old] = streams();
  await outbox.add(resultOf(1), true);
  await outbox.stop(AbortSignal.abort());
  relay.heal();
  relay.received.length = 0;
  await open({ probeId: 8 });
  await outbox.add(resultOf(2, { probeId: 8 }), true);
  await until(() => arrived().has(2));
  expect(arrived()).toEqual(new Set([2]));
  expect(readdirSync(folder.path)).not.toContain(old);
});
