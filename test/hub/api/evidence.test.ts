import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NamedEvidence } from '../../../hub/cli/evidence-view.ts';
import { tellChange } from '../../../hub/store/changes.ts';
import { insertEvidence } from '../../../hub/store/insert-evidence.ts';
import { insertResults } from '../../../hub/store/insert-results.ts';
import { type Evidence, evidenceSchema } from '../../../shared/evidence.ts';
import { failure } from '../../../shared/failure.ts';
import { runCli } from '../cli-scene.ts';
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
  for (const name of ['eu-west', 'office']) {
    const { id } = await hub.db.one<{ id: number }>('insert into regions (name) values ($1) returning id', [
      name,
    ]);
    regionIds.set(name, id);
  }
  await tellChange(hub.db, 'probes');
  for (const name of ['shop', 'quiet']) {
    const created = await hub.ask('/api/v1/endpoints', {
      method: 'POST',
      token,
      body: JSON.stringify({ name, url: 'https://shop.example/' }),
      headers: { 'content-type': 'application/json' },
    });
    expect(created.status).toBe(201);
    if (name === 'shop') endpointId = ((await created.json()) as { id: number }).id;
  }
  await until(async () => (await hub.ask('/api/v1/evidence?endpoint=shop&region=office', { token })).ok);
});
afterAll(() => hub.stop());

const evidence: Evidence = evidenceSchema.parse({
  request: {
    method: 'GET',
    url: 'https://shop.example/?q=•••',
    headers: [['authorization', '•••']],
    bodyBytes: 12,
  },
  response: { status: 502, headers: [['server', 'nginx']], body: '<b>bad \u001b[31m</b>\ngateway' },
  certificates: [{ subject: 'CN=shop', issuer: 'CN=ca', notAfter: 1_900_000_000, sha256: 'ab'.repeat(32) }],
  addresses: ['203.0.113.7', '2001:db8::7'],
  address: '203.0.113.7:443',
  resolver: '192.0.2.53',
  phase: 'transfer',
  errno: 'ECONNRESET',
  traceId: 'cd'.repeat(16),
});

async function store(region: string, slots: readonly number[], { withResult = true } = {}): Promise<void> {
  const regionId = regionIds.get(region) ?? 0;
  const probe = {
    id: 4711,
    name: 'p',
    regionId,
    kid: '',
    publicKey: null as never,
    status: 'active' as const,
  };
  const why = failure('expect.status', 'status 502');
  const rows = slots.map((slot) => ({
    regionId,
    result: {
      ...resultOf(probe, baseUs + slot, {
        outcome: 'down',
        failure: why,
        evidence: JSON.stringify(evidence),
      }),
      endpointId,
    },
  }));
  if (withResult) await insertResults(hub.db, rows);
  await insertEvidence(hub.db, rows);
}

interface Page {
  readonly evidence: readonly NamedEvidence[];
  readonly cursor: string | null;
}

async function page(query: string, by = token): Promise<Page> {
  const response = await hub.ask(`/api/v1/evidence?${query}`, { token: by });
  expect(response.status).toBe(200);
  return (await response.json()) as Page;
}

describe('evidence over HTTP', () => {
  test('newest first, page by page, with its result', async () => {
    await store('eu-west', [0, 60_000_000, 120_000_000]);
    await store('office', [60_000_000]);
    const seen: NamedEvidence[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const got: Page = await page(`endpoint=shop&limit=2${cursor && `&cursor=${cursor}`}`);
      seen.push(...got.evidence);
      ({ cursor } = got);
    }
    expect(seen.map(({ region, scheduledAt }) => `${(scheduledAt - baseUs) / 60_000_000} ${region}`)).toEqual(
      ['2 eu-west', '1 office', '1 eu-west', '0 eu-west'],
    );
    expect(seen[0]).toMatchObject({ endpoint: 'shop', probe: null, probeId: 4711, evidence });
    expect(seen[0]?.result).toMatchObject({ outcome: 'down', failure: { code: 'expect.status' } });
    expect(seen[0]?.result).not.toHaveProperty('evidence');
  });

  test('one whose result is gone is still told', async () => {
    await store('office', [-4 * 86_400_000_000], { withResult: false });
    const { evidence: found } = await page('endpoint=shop&region=office');
    expect(found.at(-1)).toMatchObject({ result: null, evidence: { errno: 'ECONNRESET' } });
  });

  test('who may read some regions sees theirs alone', async () => {
    const office = await hub.token(['read'], ['office']);
    const { evidence: found } = await page('endpoint=shop', office);
    expect(new Set(found.map(({ region }) => region))).toEqual(new Set(['office']));
    const refused = await hub.ask('/api/v1/evidence?endpoint=shop&region=eu-west', { token: office });
    expect(await codeOf(refused)).toEqual([403, 'auth.region']);
    expect((await hub.ask('/api/v1/evidence?endpoint=shop')).status).toBe(401);
  });

  test.each([
    ['endpoint=nosuch', 404, 'endpoint.unknown'],
    ['endpoint=shop&region=nosuch', 404, 'region.unknown'],
    ['endpoint=shop&cursor=x', 400, 'request.cursor'],
    ['endpoint=shop&limit=0', 400, 'request.invalid'],
  ])('%s is refused', async (query, status, code) => {
    const refused = await hub.ask(`/api/v1/evidence?${query}`, { token });
    expect(await codeOf(refused)).toEqual([status, code]);
  });
});

describe('parallax results --evidence', () => {
  const run = (...argv: string[]) =>
    runCli(['results', ...argv], { PARALLAX_HUB: hub.origin, PARALLAX_TOKEN: token });

  test('as a person reads it', async () => {
    const { code, out, err } = await run('shop', '--evidence', '--limit', '1', '--region', 'eu-west');
    expect([code, err]).toEqual([0, '']);
    const at = new Date((baseUs + 120_000_000) / 1000).toISOString().slice(0, 19).replace('T', ' ');
    expect(out).toBe(
      [
        `${at} UTC  eu-west  4711`,
        '  expect.status: status 502',
        '  reached    transfer (ECONNRESET)',
        '  resolved   203.0.113.7, 2001:db8::7',
        '  by         192.0.2.53',
        '  dialled    203.0.113.7:443',
        `  trace      ${'cd'.repeat(16)}`,
        '',
        '  > GET https://shop.example/?q=•••',
        '  > authorization: •••',
        '  > (a body of 12 bytes)',
        '',
        '  < 502',
        '  < server: nginx',
        '',
        '  <b>bad \ufffd[31m</b>',
        '  gateway',
        '',
        '  0 CN=shop, until 2030-03-17',
        '    by CN=ca',
        `    ${'ab'.repeat(32)}`,
        '',
      ].join('\n'),
    );
  });

  test('as a program reads it', async () => {
    const { code, out } = await run('shop', '--evidence', '--json', '--limit', '5');
    expect(code).toBe(0);
    const lines = out.trim().split('\n');
    expect(lines).toHaveLength(5);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ evidence, region: 'eu-west' });
  });

  test('of an endpoint that never failed', async () => {
    const { code, out, err } = await run('quiet', '--evidence');
    expect([code, out, err]).toEqual([0, '', 'quiet has not failed in the last 7 days\n']);
  });

  test('with --follow is wrong usage', async () => {
    const { code, err } = await run('shop', '--evidence', '--follow');
    expect(code).toBe(2);
    expect(err).toContain('without --follow');
  });
});
