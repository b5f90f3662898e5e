import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { intervalMs, type LonelyProbe, labels, names, ofTargets, startLonelyProbe } from './lonely-probe.ts';
import { canHaveNamespaces } from './namespaces.ts';

const able = await canHaveNamespaces();
let lonely: LonelyProbe;

beforeAll(async () => {
  if (able) lonely = await startLonelyProbe();
}, 120_000);

afterAll(() => lonely?.end());

describe.skipIf(!able)('a probe whose network is whole', () => {
  test('one target that is dead is down, at once', async () => {
    const began = Date.now();
    const rows = await lonely.whileBroken(
      () => lonely.stopTarget('t1'),
      () => lonely.startTarget('t1'),
    );
    expect(labels(rows, 't1')).toEqual(['down connect.refused']);
    expect(labels(ofTargets(rows).filter(({ endpoint }) => endpoint !== 't1'))).toEqual(['up']);
    expect(rows.every(({ scheduledAt }) => scheduledAt / 1000 > began)).toBe(true);
  });

  test('one target that is silent is down, though nobody answers for it', async () => {
    const silent = `${lonely.addressOf('t2')}/32`;
    const rows = await lonely.whileBroken(
      () => lonely.net.atGateway('route', 'add', 'blackhole', silent),
      () => lonely.net.atGateway('route', 'del', 'blackhole', silent),
    );
    expect(labels(rows, 't2')).toEqual(['down connect.timeout']);
    expect(labels(ofTargets(rows).filter(({ endpoint }) => endpoint !== 't2'))).toEqual(['up']);
  });

  test('half of the targets dead, as one host dies, are down', async () => {
    const half = names.slice(0, 3);
    const before = lonely.said().length;
    const rows = await lonely.whileBroken(
      async () => {
        for (const name of half) await lonely.stopTarget(name);
      },
      async () => {
        for (const name of half) await lonely.startTarget(name);
      },
    );
    for (const name of half) expect(labels(rows, name)).toEqual(['down connect.refused']);
    expect(lonely.said().slice(before)).not.toContain('more than half');
    for (const name of names.slice(3)) expect(labels(rows, name)).toEqual(['up']);
  });

  test('most of the targets dead are suspect for an interval, then down', async () => {
    const most = names.slice(0, 5);
    const rows = await lonely.whileBroken(
      async () => {
        for (const name of most) await lonely.stopTarget(name);
      },
      async () => {
        for (const name of most) await lonely.startTarget(name);
      },
      6 * intervalMs,
    );
    const found = ofTargets(rows).filter(({ endpoint }) => most.includes(endpoint));
    expect(labels(found)).toEqual(['down connect.refused']);
    // Those that fell last had more than half of all before them.
    const firsts = most.map((name) =>
      found
        .filter(({ endpoint }) => endpoint === name)
        .reduce((a, b) => (a.scheduledAt < b.scheduledAt ? a : b)),
    );
    const inOrder = firsts.sort((a, b) => a.scheduledAt - b.scheduledAt);
    expect(inOrder.slice(-2).map(({ suspect }) => suspect)).toEqual([true, true]);
    // An outage that lasts is told, whoever has it.
    const late = found.filter(({ scheduledAt }) => scheduledAt > (inOrder.at(-1)?.scheduledAt ?? 0));
    expect(late.some(({ suspect }) => !suspect)).toBe(true);
    expect(lonely.said()).toContain('more than half of the targets that were up failed at once');
    expect(labels(rows, 't6')).toEqual(['up']);
  });
});
