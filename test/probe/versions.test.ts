import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ProbeVersions } from '../../shared/probe-versions.ts';
import { until } from '../hub/ingest/until.ts';
import { type FakeHub, startFakeHub } from './fake-hub.ts';
import { assign, endpoint, type StartedProbe, startProbe, startTarget, tempFolder } from './start-probe.ts';

let hub: FakeHub;
let target: Awaited<ReturnType<typeof startTarget>>;
let folder: Awaited<ReturnType<typeof tempFolder>>;
let probe: StartedProbe;

beforeEach(async () => {
  hub = await startFakeHub();
  target = await startTarget();
  folder = await tempFolder();
  assign(hub, endpoint(1, `${target.url}/a`));
});
afterEach(async () => {
  await probe.stop().catch(() => undefined);
  await hub.close().catch(() => undefined);
  await target.close();
  await folder.remove();
});

async function start(versions?: ProbeVersions): Promise<void> {
  if (versions) hub.bendClaims = (claims) => ({ ...claims, versions });
  probe = startProbe({ dataDir: join(folder.path, 'data'), token: { text: await hub.token() } });
  await probe.resulted(1);
}

const terms: ProbeVersions = {
  batchSchemas: [1],
  newest: '9.0.0',
  oldest: '0.0.1',
  refusedFrom: 4_000_000_000,
};

describe('what a hub says of versions', () => {
  test.each<[string, ProbeVersions | undefined, number]>([
    ['nothing, as the first ones', undefined, 1],
    ['that it reads an old schema alone', terms, 1],
    ['that it reads the second, but no columns', { ...terms, batchSchemas: [1, 2] }, 2],
    ['that it reads this one, and newer ones', { ...terms, batchSchemas: [1, 2, 3, 4] }, 3],
  ])('%s', async (_, versions, batchSchema) => {
    await start(versions);
    expect(probe.terms.map((one) => one.batchSchema)).toContain(batchSchema);
    expect(new Set(probe.terms.map((one) => one.batchSchema)).size).toBe(1);
  });

  test('that this probe is too old: it says so, and checks on', async () => {
    await start({ ...terms, oldest: '8.0.0' });
    await probe.said('this probe is too old for its hub');
    expect(probe.text()).toContain('"until":"2096-10-02T07:06:40.000Z"');
    await probe.resulted(probe.results.length + 2);
  });

  test('that it takes it no more: what to do is said, and the lease in force is used up', async () => {
    await start();
    hub.intercept = (request, response) => {
      if (request.url !== '/v1/lease') return false;
      const detail = 'this probe is of version 0.1.0, and this hub takes 8.0.0 or newer: update it';
      response.writeHead(403, { 'content-type': 'application/problem+json', 'retry-after': '1' });
      response.end(JSON.stringify({ status: 403, code: 'probe.too_old', detail }));
      return true;
    };
    await probe.said('takes 8.0.0 or newer: update it');
    await probe.resulted(probe.results.length + 2);
  });
});

describe('evidence', () => {
  test('goes with the first failure after it was up, and with no other', async () => {
    await start();
    const mine = () => probe.results.filter(({ outcome }) => outcome !== 'skipped');
    target.status = 500;
    // What a busy machine spoilt has no say: neither evidence of its own nor a part in what comes first.
    const sure = () => mine().filter(({ suspect }) => !suspect);
    await until(() => sure().filter(({ outcome }) => outcome === 'down').length >= 2, 20_000);
    target.status = 200;
    const before = sure().length;
    const isUp = ({ outcome }: { outcome: string }) => outcome === 'up';
    await until(() => sure().slice(before).some(isUp), 20_000);
    target.status = 503;
    // A failure is held until the probe has looked at its own network: what was due after it may be told before it.
    const withEvidence = () => mine().filter(({ evidence }) => evidence !== null);
    await until(() => withEvidence().length === 2, 20_000);
    const [, last] = withEvidence();
    const told = sure()
      .filter(({ scheduledAt }) => scheduledAt <= (last?.scheduledAt ?? 0))
      .toSorted((a, b) => a.scheduledAt - b.scheduledAt);
    for (const [at, { outcome, evidence }] of told.entries()) {
      const first = outcome === 'down' && told[at - 1]?.outcome !== 'down';
      expect([at, outcome, evidence !== null]).toEqual([at, outcome, first]);
    }
    expect(told.filter(({ outcome }) => outcome === 'down').length).toBeGreaterThan(2);
    expect(JSON.parse(last?.evidence ?? '{}')).toMatchObject({ response: { status: 503 } });
  }, 90_000);
});
