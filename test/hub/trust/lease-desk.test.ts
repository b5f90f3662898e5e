import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createLeaseDesk, type LeaseDeskOptions } from '../../../hub/trust/lease-desk.ts';
import { createLeaseMetrics } from '../../../hub/trust/lease-metrics.ts';
import type { RegisteredProbe } from '../../../hub/trust/registry.ts';
import { until } from '../ingest/until.ts';
import { plainRequest } from './lease-scene.ts';

const keys = generateKeyPairSync('ed25519');
const digestOf = (version: number) => version.toString(16).padStart(64, '0');

function open(over: Partial<LeaseDeskOptions> = {}) {
  let arrivals = 0;
  const manifests = new Map<number, number>();
  const probes = new Map<number, RegisteredProbe>();
  const desk = createLeaseDesk({
    publicUrl: 'https://hub.example',
    leaseTtlSeconds: 60,
    kafka: null,
    keys: { lease: { kid: 'k', ...keys } },
    registry: {
      probeById: (id) => probes.get(id),
      regionById: (id) => ({ id, name: `region-${id}` }),
    },
    arrivals: {
      async arrive() {
        arrivals += 1;
        return { version: arrivals, durable: [] };
      },
    },
    manifests: {
      of: ({ id }) => ({ digest: digestOf(manifests.get(id) ?? 0), bytes: new Uint8Array() }),
    },
    jobs: { waiting: () => 0, take: () => [] },
    orders: { waiting: () => 0, take: () => [] },
    probesAbout: () => probes.size,
    onFirst: () => undefined,
    metrics: createLeaseMetrics(),
    now: () => Date.now() * 1000,
    ...over,
  });
  return {
    desk,
    manifests,
    arrivals: () => arrivals,
    probe(id: number, regionId = 1): RegisteredProbe {
      const probe = {
        id,
        name: `probe ${id}`,
        regionId,
        kid: `kid ${id}`,
        publicKey: keys.publicKey,
        status: 'active' as const,
      };
      probes.set(id, probe);
      return probe;
    },
  };
}

const request = { ...plainRequest, have: 1_000_000, manifest: digestOf(0) };
const never = new AbortController().signal;

describe('ten thousand polls on one hub', () => {
  test('wait without a query, and only those are answered for whom something changed', async () => {
    const { desk, probe, manifests, arrivals } = open({ waitMs: 60_000 });
    const count = 10_000;
    const probes = Array.from({ length: count }, (_, index) => probe(index + 1, 1 + (index % 10)));
    // What each was told first, so that it waits now.
    await Promise.all(probes.map((each) => desk.ask(each, request, never)));
    const asked = arrivals();
    let answered = 0;
    const polls = probes.map((each) => desk.ask(each, request, never).then(() => (answered += 1)));
    await until(() => desk.waiting() === count);
    const heap = process.memoryUsage().heapUsed;
    const before = process.cpuUsage();
    for (let id = 1; id <= 5; id += 1) manifests.set(id, 1);
    desk.lookAgain([1, 2, 3]);
    // Of the processor: the clock tells more of a busy machine than of this.
    const lookMs = process.cpuUsage(before).user / 1000;
    await until(() => answered === 3);
    expect(desk.waiting()).toBe(count - 3);
    desk.lookAgain();
    await until(() => answered === 5);
    expect(arrivals()).toBe(asked + count);
    console.log(
      `10,000 polls: ${lookMs.toFixed(0)} ms to look at 3,000 of them, heap ${(heap / 2 ** 20).toFixed(0)} MiB`,
    );
    expect(lookMs).toBeLessThan(400);
    desk.stop();
    await Promise.all(polls);
    expect(desk.waiting()).toBe(0);
  }, 60_000);

  test('are as many as may wait; the next is told to come back', async () => {
    const { desk, probe } = open({ waitMs: 60_000, mostWaiting: 2 });
    const polls = [probe(1), probe(2)].map(async (each) => {
      await desk.ask(each, request, never);
      return desk.ask(each, request, never);
    });
    await until(() => desk.waiting() === 2);
    await expect(desk.ask(probe(3), request, never)).rejects.toMatchObject({
      status: 503,
      code: 'lease.unavailable',
      headers: { 'retry-after': '1' },
    });
    desk.stop();
    await Promise.all(polls);
  });
});

test('while the database is away nobody gets a version, and nobody waits', async () => {
  const { desk, probe } = open({
    arrivals: {
      async arrive() {
        throw new Error('away');
      },
    },
  });
  await expect(desk.ask(probe(1), request, never)).rejects.toThrow('away');
  expect(desk.waiting()).toBe(0);
});

test('a probe that was deleted is unknown', async () => {
  const { desk, probe } = open({ arrivals: { arrive: async () => null } });
  await expect(desk.ask(probe(1), request, never)).rejects.toMatchObject({
    status: 401,
    code: 'probe.unknown',
  });
});

test('while the documents are being made a poll ends with 503', async () => {
  const { desk, probe } = open({ waitMs: 50, manifests: { of: () => null } });
  await expect(desk.ask(probe(1), request, never)).rejects.toMatchObject({ status: 503 });
});
