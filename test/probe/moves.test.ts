import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type FakeHub, startFakeHub } from './fake-hub.ts';
import { assign, endpoint, type StartedProbe, startProbe, startTarget, tempFolder } from './start-probe.ts';

const second = 1_000_000;

async function scene() {
  const hub = await startFakeHub();
  const target = await startTarget();
  const folder = await tempFolder();
  const probes: StartedProbe[] = [];
  onTestFinished(async () => {
    for (const probe of probes) await probe.stop().catch(() => undefined);
    await hub.close().catch(() => undefined);
    await target.close();
    await folder.remove();
  });
  return {
    hub,
    target,
    async probe(name: string) {
      const token = { text: await hub.token() };
      const probe = startProbe({ dataDir: join(folder.path, name), token });
      probes.push(probe);
      const before = hub.probes.size;
      await hub.until(() => hub.probes.size > before);
      const registered = [...hub.probes.values()].at(-1);
      if (!registered) throw new Error('nobody enrolled');
      return { probe, registered };
    },
  };
}

const instants = (probe: StartedProbe, endpointId: number) =>
  probe.results
    .filter((one) => one.endpointId === endpointId && one.kind === 'slot')
    .map((one) => one.scheduledAt)
    .toSorted((a, b) => a - b);

/** The first probe's shards go to the second at an instant that both are told of beforehand. */
function announceMove(hub: FakeHub, aheadUs: number): number {
  const [from, to] = [...hub.probes.values()];
  const at = hub.nowUs() + aheadUs;
  if (!from || !to) throw new Error('two probes are needed');
  const shards = Array.from({ length: 256 }, (_, shard) => shard);
  from.entries = shards.map((shard) => ({ shard, rank: 0, from: 0, until: at }));
  to.entries = shards.map((shard) => ({ shard, rank: 0, from: at, until: null }));
  hub.wake();
  return at;
}

test('a move that is announced neither misses nor doubles a slot, seen from the target', async () => {
  const { hub, target, probe } = await scene();
  const ids = [1, 2, 3, 4, 5, 6, 7, 8];
  assign(hub, ...ids.map((id) => endpoint(id, `${target.url}/${id}`, { intervalMs: 2000 })));
  const first = await probe('first');
  await first.probe.resulted(ids.length);
  const other = await probe('second');
  other.registered.entries = [];
  hub.wake();
  await other.probe.said('"endpoints":0');
  const countBefore = other.probe.results.length;
  const at = announceMove(hub, 3 * second);
  await other.probe.resulted(countBefore + 2 * ids.length, 15_000);
  await first.probe.stop();
  await other.probe.stop();
  for (const id of ids) {
    const before = instants(first.probe, id);
    const after = instants(other.probe, id).filter((slot) => slot >= at);
    expect(before.every((slot) => slot < at)).toBe(true);
    const all = [...before, ...after];
    for (const [index, slot] of all.entries())
      if (index > 0) expect(slot - (all[index - 1] ?? 0)).toBe(2 * second);
    expect(other.probe.results.filter(({ attempts }) => attempts === 0)).toEqual([]);
    // What the target saw is what was reported: nobody else asked, and nobody twice.
    const reported = [...first.probe.results, ...other.probe.results].filter((one) => one.endpointId === id);
    expect(target.hits.get(`/${id}`)?.length).toBe(reported.filter(({ attempts }) => attempts > 0).length);
  }
});

test('with two replicas both probes check each slot, and an endpoint with one only the first rank does', async () => {
  const { hub, target, probe } = await scene();
  assign(hub, endpoint(1, `${target.url}/1`, { replicas: 2 }), endpoint(2, `${target.url}/2`));
  const one = await probe('one');
  const two = await probe('two');
  two.registered.entries = two.registered.entries.map((entry) => ({ ...entry, rank: 1 }));
  hub.wake();
  await two.probe.said('new assignments in force');
  const start = hub.nowUs() + second;
  await one.probe.resulted(one.probe.results.length + 8);
  const late = hub.nowUs() - second;
  const within = (slots: readonly number[]) => slots.filter((slot) => slot > start && slot < late);
  expect(within(instants(two.probe, 1))).toEqual(within(instants(one.probe, 1)));
  expect(within(instants(one.probe, 1)).length).toBeGreaterThan(0);
  expect(within(instants(two.probe, 2))).toEqual([]);
});

test('a loop that stood still for seconds skips what it overslept, and bursts on nobody', async () => {
  const { hub, target, probe } = await scene();
  const ids = Array.from({ length: 40 }, (_, index) => index + 1);
  assign(hub, ...ids.map((id) => endpoint(id, `${target.url}/${id}`)));
  const { probe: stalled } = await probe('stalled');
  await stalled.resulted(80);
  const until = Date.now() + 3500;
  while (Date.now() < until);
  const woke = Date.now();
  const count = stalled.results.length;
  await stalled.resulted(count + 120, 15_000);
  const skipped = stalled.results.filter(({ failure }) => failure?.code === 'probe.paused');
  expect(skipped.length).toBeGreaterThan(30);
  expect(skipped.length).toBeLessThanOrEqual(ids.length);
  expect(new Set(skipped.map(({ endpointId }) => endpointId)).size).toBe(skipped.length);
  // 40 a second; what is at most half a second late is still run.
  const hits = [...target.hits.values()].flat().filter((at) => at >= woke - 10 && at < woke + 200);
  expect(hits.length).toBeLessThan(40);
  const slots = ids.map((id) => instants(stalled, id));
  for (const mine of slots) expect(new Set(mine).size).toBe(mine.length);
});
