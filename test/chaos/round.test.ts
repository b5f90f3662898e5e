import { expect, test, vi } from 'vitest';
import type { Fault, Injected } from './fault.ts';
import { verdictOf } from './faults/hub-crash.ts';
import type { ChaosNetwork } from './network.ts';
import { createRandom } from './random.ts';
import { breakAndHeal, MachineFailed, noExcuses } from './round.ts';

/** A network of names: what runs in it, and who stands still. */
function fakeNetwork() {
  const running = new Map(['postgres', 'kafka', 'hub-1', 'probe-a-1'].map((name) => [name, true]));
  const one = (name: string) => ({
    name,
    running: () => running.get(name) ?? false,
    kill: () => undefined,
    start: async () => void running.set(name, true),
  });
  const network = {
    postgres: one('postgres'),
    kafka: one('kafka'),
    hubs: [one('hub-1')],
    probes: [one('probe-a-1')],
    lie: async () => undefined,
  };
  return { network: network as unknown as ChaosNetwork, running };
}

const fault = (name: string, inject: () => Promise<Partial<Injected>>): Fault => ({
  name,
  area: 'hub',
  inject: async () => ({ detail: name, heal: async () => undefined, ...(await inject()) }),
});

async function play(...faults: readonly Fault[]) {
  const { network, running } = fakeNetwork();
  const tell = vi.fn<(fault: string, detail: string, injected: boolean) => void>();
  const excuses = noExcuses();
  const broken = await breakAndHeal(
    { at: 1, faults: faults.map((one) => ({ ...one })), holdMs: 0, apartMs: 0 },
    { network, excuses, random: createRandom(1), tell, signal: AbortSignal.timeout(5000) },
  ).catch((error: unknown) => error);
  return { broken, excuses, running, told: tell.mock.calls.map(([name, , injected]) => [name, injected]) };
}

test('a fault that fails alone is a failure of the machine, and everything runs again', async () => {
  const { network, running } = fakeNetwork();
  const fails = fault('hub.older-schema', async () => {
    for (const name of ['hub-1', 'postgres']) running.set(name, false);
    throw new Error('no such bundle');
  });
  const playing = breakAndHeal(
    { at: 1, faults: [fails], holdMs: 0, apartMs: 0 },
    {
      network,
      excuses: noExcuses(),
      random: createRandom(1),
      tell: () => undefined,
      signal: AbortSignal.timeout(5000),
    },
  );
  await expect(playing).rejects.toThrow(MachineFailed);
  await expect(playing).rejects.toThrow('hub.older-schema could not be injected: no such bundle');
  expect([...running.values()]).toEqual([true, true, true, true]);
});

test('one that fails beside another is named, to be tried alone, once the other has healed', async () => {
  const heal = vi.fn(async () => undefined);
  const fails = fault('hub.crash', () => Promise.reject(new Error('the hub cannot be reached')));
  const { broken, told } = await play(
    fault('network.cut', async () => ({ heal })),
    fails,
  );
  expect(broken).toMatchObject({
    failed: { fault: { name: 'hub.crash' }, why: 'the hub cannot be reached' },
  });
  expect(heal).toHaveBeenCalledOnce();
  expect(told).toEqual([
    ['network.cut', true],
    ['hub.crash', false],
  ]);
});

test('a chance that did not come by is told and not counted', async () => {
  const { told } = await play(fault('hub.crash', async () => ({ happened: false })));
  expect(told).toEqual([['hub.crash', false]]);
});

test('what a fault saw to be wrong, and what it excuses, outlive it', async () => {
  const wrong = { invariant: '1 exactly once', what: 'it runs on a newer schema', evidence: [] };
  const { broken, excuses } = await play(
    fault('hub.older-release', async () => ({
      violations: [wrong],
      toBeTold: new Set(['1|1|1|1']),
      mayReject: [{ probe: 'probe-a-1', reason: 'duplicate_slot' }],
    })),
  );
  expect(broken).toMatchObject({ violations: [wrong] });
  expect([...excuses.toBeTold]).toEqual(['1|1|1|1']);
  expect(excuses.mayReject).toMatchObject([{ probe: 'probe-a-1', healedMs: expect.any(Number) }]);
});

test.each([
  ['schema 29; this Parallax knows up to 28', 'refuses'],
  ['{"msg":"the hub is running"}', 'DOES NOT REFUSE'],
  ['', 'does not come as far as'],
])('an older release that logs "%s" %s', (said, verdict) => {
  expect(verdictOf(said)).toBe(verdict);
});
