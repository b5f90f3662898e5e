import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from '../harness/imports.ts';
import { until } from '../hub/ingest/until.ts';
import { absent, intervalMs, type LonelyProbe, labels, ofTargets, startLonelyProbe } from './lonely-probe.ts';
import { canHaveNamespaces } from './namespaces.ts';

const able = await canHaveNamespaces();
let lonely: LonelyProbe;

beforeAll(async () => {
  if (able) lonely = await startLonelyProbe();
}, 120_000);

afterAll(() => lonely?.end());

describe.skipIf(!able)('a probe in a network that lies', () => {
  test('whose DNS makes up what does not exist believes no such address', async () => {
    const rows = await lonely.whileBroken(
      async () => {
        lonely.dns.absent = [lonely.addressOf('search')];
      },
      async () => {
        lonely.dns.absent = 'NXDOMAIN';
      },
      4 * intervalMs,
      async () => {
        // It is looked for once a minute while nothing fails.
        await until(async () => (await lonely.network())?.state === 'doubtful', 75_000);
        await wait(2 * intervalMs);
      },
    );
    expect(labels(ofTargets(rows))).toEqual(['up']);
    // The search page answers 200 for a name that is not there: up for so long as nobody looked.
    expect(labels(rows.slice(-1), absent).concat(labels(rows, absent))).toContain('skipped probe.network');
    const last = rows
      .filter(({ endpoint }) => endpoint === absent)
      .sort((a, b) => b.scheduledAt - a.scheduledAt)[0];
    expect(last).toMatchObject({
      outcome: 'skipped',
      message: expect.stringContaining('names that do not exist'),
    });
  }, 240_000);

  test('behind a captive portal says so, and calls nothing up or down', async () => {
    let portal: ChildProcess | undefined;
    const caught = lonely.addresses().map((each) => `${each}/32`);
    const rows = await lonely.whileBroken(
      async () => {
        const script = join(root, 'test/flow/portal-child.ts');
        const [file, args] = lonely.net.inside('gateway', [
          process.execPath,
          script,
          `http://${lonely.net.gateway}`,
        ]);
        portal = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        if (portal.stdout) await once(portal.stdout, 'data');
        for (const each of caught) await lonely.net.atGateway('route', 'add', 'local', each, 'dev', 'lo');
      },
      async () => {
        for (const each of caught) await lonely.net.atGateway('route', 'del', 'local', each, 'dev', 'lo');
        portal?.kill('SIGKILL');
      },
      10_000,
      // Until somebody looks, once a minute while nothing fails, its page is as good as any.
      () => until(() => /captive portal/.test(lonely.said()), 75_000),
    );
    const down = rows.filter(
      ({ outcome, suspect, endpoint }) => outcome === 'down' && !suspect && endpoint !== absent,
    );
    expect(down).toEqual([]);
    await until(async () => (await lonely.network())?.why.includes('captive portal') ?? false, 20_000);
  }, 240_000);
});
