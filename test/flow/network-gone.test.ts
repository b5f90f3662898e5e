import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../hub/ingest/until.ts';
import {
  absent,
  intervalMs,
  type LonelyProbe,
  labels,
  names,
  ofTargets,
  type Row,
  startLonelyProbe,
} from './lonely-probe.ts';
import { canHaveNamespaces } from './namespaces.ts';

const able = await canHaveNamespaces();
let lonely: LonelyProbe;

beforeAll(async () => {
  if (able) lonely = await startLonelyProbe();
}, 120_000);

afterAll(() => lonely?.end());

/** While nothing can be reached: not one slot is told as a target's failure. */
function nothingIsDown(rows: readonly Row[]): void {
  expect(rows.length).toBeGreaterThan(names.length);
  expect(labels(ofTargets(rows))).toEqual(['skipped probe.network']);
  expect(labels(rows, absent)).toEqual(['skipped probe.network']);
}

describe.skipIf(!able)('a probe in a network of its own', () => {
  test('has six targets that are up, and one that does not exist', async () => {
    await lonely.allUp();
    await until(async () => (await lonely.network())?.state === 'ok', 30_000);
    const rows = await lonely.rowsBetween(0, Date.now());
    expect(labels(rows, absent)).toEqual(['down dns.nxdomain']);
    expect(labels(ofTargets(rows))).toEqual(['up']);
  });

  test('whose link is down says probe.network', async () => {
    const rows = await lonely.whileBroken(
      () => lonely.net.atProbe('link', 'set', 'up0', 'down'),
      async () => {
        await lonely.net.atProbe('link', 'set', 'up0', 'up');
        await lonely.net.atProbe('route', 'add', 'default', 'via', lonely.net.gateway);
      },
    );
    nothingIsDown(rows);
    await until(async () => (await lonely.network())?.why.includes('gone for') ?? false, 20_000);
    expect(await lonely.network()).toMatchObject({
      state: 'ok',
      why: expect.stringMatching(/gone for \d+ s/),
    });
  });

  test('whose gateway is gone says probe.network', async () => {
    const rows = await lonely.whileBroken(
      () => lonely.net.atGateway('addr', 'del', `${lonely.net.gateway}/24`, 'dev', 'in0'),
      () => lonely.net.atGateway('addr', 'add', `${lonely.net.gateway}/24`, 'dev', 'in0'),
    );
    nothingIsDown(rows);
  });

  test('whose gateway lives, with nothing behind it, says probe.network', async () => {
    const halves = [`${lonely.net.world}0/25`, `${lonely.net.world}128/25`];
    const rows = await lonely.whileBroken(
      async () => {
        for (const half of halves) await lonely.net.atGateway('route', 'add', 'blackhole', half);
      },
      async () => {
        for (const half of halves) await lonely.net.atGateway('route', 'del', 'blackhole', half);
      },
    );
    nothingIsDown(rows);
    await until(
      async () => (await lonely.network())?.why.includes(`the gateway ${lonely.net.gateway} can`) ?? false,
      20_000,
    );
  });

  test('whose DNS alone is dead says probe.network', async () => {
    const rows = await lonely.whileBroken(
      async () => {
        lonely.dns.all = 'silence';
      },
      async () => {
        lonely.dns.all = null;
      },
      4 * intervalMs,
      async () => {
        await until(async () => (await lonely.network())?.state === 'doubtful', 20_000);
        expect(await lonely.network()).toMatchObject({ why: expect.stringContaining('DNS') });
      },
    );
    nothingIsDown(rows);
  });
});
