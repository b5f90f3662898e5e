import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tellChange } from '../../../hub/store/changes.ts';
import { insertResults } from '../../../hub/store/insert-results.ts';
import { failure } from '../../../shared/failure.ts';
import type { Result } from '../../../shared/result.ts';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';
import { resultOf } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';

let hub: HubScene;
let token: string;
let endpointId: number;
const regionIds = new Map<string, number>();
const baseUs = Math.floor(Date.now() / 1000 - 3600) * 1_000_000;

beforeAll(async () => {
  hub = await startHubScene();
  token = await hub.token(['write']);
  for (const name of ['eu-west', 'us-east', 'office']) {
    const { id } = await hub.db.one<{ id: number }>('insert into regions (name) values ($1) returning id', [
      name,
    ]);
    regionIds.set(name, id);
  }
  await tellChange(hub.db, 'probes');
  const created = await hub.ask('/api/v1/endpoints', {
    method: 'POST',
    token,
    body: JSON.stringify({ name: 'shop', url: 'https://shop.example/' }),
    headers: { 'content-type': 'application/json' },
  });
  expect(created.status).toBe(201);
  endpointId = ((await created.json()) as { id: number }).id;
  await until(async () => {
    const { regions } = (await (await hub.ask('/api/v1/regions', { token })).json()) as {
      regions: unknown[];
    };
    return (
      regions.length === 3 && (await hub.ask('/api/v1/results?endpoint=shop&region=office', { token })).ok
    );
  });
});
afterAll(() => hub.stop());

const probe = {
  id: 4711,
  name: 'p',
  regionId: 0,
  kid: '',
  publicKey: null as never,
  status: 'active' as const,
};

async function store(region: string, slots: readonly number[], over: Partial<Result> = {}): Promise<void> {
  const regionId = regionIds.get(region) ?? 0;
  const rows = slots.map((slot) => ({
    regionId,
    result: { ...resultOf({ ...probe, regionId }, baseUs + slot), endpointId, ...over },
  }));
  await insertResults(hub.db, rows);
}

interface Page {
  results: (Result & { endpoint: string; region: string; probe: string | null })[];
  cursor: string | null;
}

async function page(query: string, by = token): Promise<Page> {
  const response = await hub.ask(`/api/v1/results?${query}`, { token: by });
  expect(response.status).toBe(200);
  return (await response.json()) as Page;
}

const keyOf = ({ region, scheduledAt, probeId }: Page['results'][number]) =>
  `${scheduledAt} ${region} ${probeId}`;

describe('results over HTTP', () => {
  test('a cursor walks every row exactly once, newest first, while new ones come', async () => {
    // The same slots in three regions, two probes in one of them, slots a microsecond apart, and over midnights.
    const slots = Array.from({ length: 150 }, (_, index) => index * 20_000_000 + (index % 3));
    for (const region of regionIds.keys()) await store(region, slots);
    await store('office', slots.slice(0, 50), { probeId: 4712 });
    await store('office', [-86_400_000_000, -3 * 86_400_000_000]);
    const wanted = 150 * 3 + 50 + 2;
    for (const limit of [1000, 101, 7]) {
      const seen: Page['results'] = [];
      let cursor: string | null = '';
      let later = 0;
      while (cursor !== null) {
        const got: Page = await page(`endpoint=shop&limit=${limit}${cursor && `&cursor=${cursor}`}`);
        seen.push(...got.results);
        cursor = got.cursor;
        later += 1;
        await store('eu-west', [limit * 1_000_000 + 3_400_000_000 + later], { probeId: 9000 + limit });
      }
      const old = seen.filter(({ probeId }) => probeId < 9000);
      expect([limit, new Set(old.map(keyOf)).size, old.length]).toEqual([limit, wanted, wanted]);
      const order = seen.map(({ scheduledAt }) => scheduledAt);
      expect(order).toEqual([...order].sort((a, b) => b - a));
    }
    await hub.db.run('delete from results where probe_id >= 9000');
  });

  test('one region, a range of time, both ends as they are said to be', async () => {
    const one = await page('endpoint=shop&region=us-east&limit=1000');
    expect(new Set(one.results.map(({ region }) => region))).toEqual(new Set(['us-east']));
    expect(one.results).toHaveLength(150);
    const [from, to] = [baseUs + 20_000_001, baseUs + 100_000_002];
    const range = await page(`endpoint=shop&region=us-east&from=${from}&to=${to}`);
    expect(range.results.map(({ scheduledAt }) => scheduledAt - baseUs)).toEqual([
      80_000_001, 60_000_000, 40_000_002, 20_000_001,
    ]);
    const iso = new Date(baseUs / 1000).toISOString();
    const byIso = await page(`endpoint=shop&region=us-east&to=${iso}`);
    expect(byIso.results).toEqual([]);
  });

  test('a result is what was stored, with the names people use', async () => {
    const given: Partial<Result> = {
      kind: 'confirm',
      outcome: 'down',
      failure: failure('expect.status', 'got 503'),
      firstFailure: 'connect.timeout',
      suspect: true,
      status: 503,
      attempts: 3,
      truncated: true,
      facts: null,
      evidence: null,
      redirects: 2,
      tls: { version: 'TLSv1.3', cipher: 'x', notAfter: 1_900_000_000, issuer: 'CA', fingerprint: 'ab' },
      timings: { dns: null, connect: 2, tls: 3, wait: null, transfer: null, total: 5 },
      lateBy: 77,
    };
    await store('eu-west', [3_500_000_123], given);
    const { results } = await page('endpoint=shop&limit=1');
    const regionId = regionIds.get('eu-west') ?? 0;
    const {
      regionId: _,
      evidence: _elsewhere,
      ...stored
    } = {
      ...resultOf({ ...probe, regionId }, baseUs + 3_500_000_123),
      endpointId,
      ...given,
    };
    expect(results[0]).toEqual({
      ...stored,
      startedAt: baseUs + 3_500_000_200,
      endpoint: 'shop',
      region: 'eu-west',
      probe: null,
    });
  });

  test('an operator of one region sees that region', async () => {
    const own = await hub.token(['read'], ['office']);
    const { results } = await page('endpoint=shop&limit=1000', own);
    expect(new Set(results.map(({ region }) => region))).toEqual(new Set(['office']));
    expect(
      await codeOf(await hub.ask('/api/v1/results?endpoint=shop&region=eu-west', { token: own })),
    ).toEqual([403, 'auth.region']);
    const foreign = (await page('endpoint=shop&limit=1')).cursor;
    const { results: after } = await page(`endpoint=shop&limit=1000&cursor=${foreign}`, own);
    expect(new Set(after.map(({ region }) => region))).toEqual(new Set(['office']));
    const none = await hub.token(['read'], ['mars']);
    expect((await page('endpoint=shop', none)).results).toEqual([]);
  });

  const cursor = (place: unknown) => Buffer.from(JSON.stringify(place)).toString('base64url');
  const wrong: [query: string, status: number, code: string][] = [
    ['', 400, 'request.invalid'],
    ['endpoint=none', 404, 'endpoint.unknown'],
    ['endpoint=shop&region=none', 404, 'region.unknown'],
    ['endpoint=shop&limit=0', 400, 'request.invalid'],
    ['endpoint=shop&limit=1001', 400, 'request.invalid'],
    ['endpoint=shop&from=yesterday', 400, 'request.invalid'],
    ['endpoint=shop&cursor=x', 400, 'request.cursor'],
    [`endpoint=shop&cursor=${cursor([1])}`, 400, 'request.cursor'],
    [`endpoint=shop&cursor=${cursor([1e18, 1, 1])}`, 400, 'request.cursor'],
    [`endpoint=shop&cursor=${cursor([1, 99_999, 1])}`, 400, 'request.cursor'],
    [`endpoint=shop&cursor=${cursor(['1; drop table results', 1, 1])}`, 400, 'request.cursor'],
    ["endpoint=x'; drop table results; --", 404, 'endpoint.unknown'],
  ];
  test.each(wrong)('%s', async (query, status, code) => {
    expect(await codeOf(await hub.ask(`/api/v1/results?${query}`, { token }))).toEqual([status, code]);
  });

  test('instants anybody may write do not break it', async () => {
    for (const instant of [
      '9999999999999',
      '99999999999999999',
      '0001-01-01',
      '9999-12-31T23:59:59Z',
      '-1',
    ]) {
      const { status } = await hub.ask(`/api/v1/results?endpoint=shop&from=${instant}`, { token });
      expect([instant, [200, 400].includes(status)]).toEqual([instant, true]);
    }
  });
});
