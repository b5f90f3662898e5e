import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../../../hub/cli/main.ts';
import { tellChange } from '../../../hub/store/changes.ts';
import { insertResults } from '../../../hub/store/insert-results.ts';
import { failure } from '../../../shared/failure.ts';
import type { Result } from '../../../shared/result.ts';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';
import { resultOf } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';
import { enrollOne } from './enroll-one.ts';

let hub: HubScene;
let token = '';
const ids = { fra: 0, fra2: 0, nyc: 0 };
const regionOf = new Map<number, number>();
let endpointId = 0;
const slot = 10_000_000;

beforeAll(async () => {
  hub = await startHubScene();
  token = await hub.token(['admin']);
  ids.fra = await enrollOne(hub, 'eu-west', 'fra-1');
  ids.fra2 = await enrollOne(hub, 'eu-west', 'fra-2');
  ids.nyc = await enrollOne(hub, 'us-east', 'nyc-1');
  const body = JSON.stringify({ name: 'shop', url: 'https://shop.example/', interval: '10s', replicas: 2 });
  const made = await hub.ask('/api/v1/endpoints', {
    method: 'POST',
    token,
    body,
    headers: { 'content-type': 'application/json' },
  });
  endpointId = ((await made.json()) as { id: number }).id;
  await tellChange(hub.db, 'probes');
  for (const { id, region_id } of await hub.db.many<{ id: number; region_id: number }>(
    'select id, region_id from probes',
  )) {
    regionOf.set(id, region_id);
  }
  await until(
    async () => (await hub.ask(`/api/v1/probes/${ids.fra}/compare/${ids.fra2}?endpoint=shop`, { token })).ok,
  );
  await store(ids.fra, 100, 1);
  await store(ids.fra2, 100, 1.5, (index) =>
    index === 7
      ? { outcome: 'down', failure: failure('connect.timeout', 'no'), status: null }
      : index === 9
        ? { suspect: true }
        : {},
  );
}, 60_000);
afterAll(() => hub.stop());

/** Slots of the last minutes, each `scale` times as long as it should be. */
async function store(
  probeId: number,
  count: number,
  scale: number,
  over: (index: number) => Partial<Result> = () => ({}),
): Promise<void> {
  const regionId = regionOf.get(probeId) ?? 0;
  const newest = Math.floor((Date.now() * 1000) / slot) * slot;
  const rows = Array.from({ length: count }, (_, index) => {
    const probe = {
      id: probeId,
      regionId,
      name: '',
      kid: '',
      publicKey: null as never,
      status: 'active' as const,
    };
    const us = (base: number) => Math.round((base + ((index * 37) % 100)) * scale);
    const timings = {
      dns: us(1000),
      connect: us(2000),
      tls: us(3000),
      wait: us(4000),
      transfer: us(500),
      total: us(10_500),
    };
    const result = { ...resultOf(probe, newest - (index + 1) * slot), endpointId, timings, ...over(index) };
    return { regionId, result };
  });
  await insertResults(hub.db, rows);
}

interface Compared {
  readonly a: { id: number; name: string; region: string; results: number; suspect: number };
  readonly b: { id: number; suspect: number };
  readonly endpoints: number;
  readonly phases: { phase: string; ratio: { value: number; low: number; high: number } | null }[];
  readonly outcomes: {
    pairs: number;
    onlyAFails: number;
    onlyBFails: number;
    examples: { endpoint: string; b: { code: string } }[];
  };
  readonly tooLittle: string | null;
}

const compared = async (path: string, by = token) => {
  const answer = await hub.ask(`/api/v1/probes/${path}`, { token: by });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Compared;
};

describe('two probes compared over HTTP', () => {
  test('the ratio of each phase with its interval, and the slots that differ', async () => {
    const found = await compared(`${ids.fra}/compare/${ids.fra2}`);
    expect(found).toMatchObject({
      endpoints: 1,
      tooLittle: null,
      a: { name: 'fra-1', region: 'eu-west', results: 100 },
    });
    expect(found.phases.map(({ phase }) => phase)).toEqual([
      'dns',
      'connect',
      'tls',
      'wait',
      'transfer',
      'total',
    ]);
    for (const { ratio } of found.phases) {
      expect(ratio?.value).toBeCloseTo(1.5, 1);
      expect(ratio && ratio.low > 1 && ratio.high > ratio.low).toBe(true);
    }
    expect(found.b.suspect).toBe(1);
    expect(found.outcomes).toMatchObject({
      pairs: 99,
      onlyAFails: 0,
      onlyBFails: 1,
      examples: [{ endpoint: 'shop', b: { code: 'connect.timeout' } }],
    });
  });

  test('says plainly that there is too little', async () => {
    const found = await compared(`${ids.fra}/compare/${ids.nyc}`);
    expect(found).toMatchObject({
      endpoints: 0,
      phases: [],
      tooLittle: expect.stringContaining('only the first'),
    });
    expect(await compared(`${ids.fra}/compare/${ids.fra2}?seconds=1`)).toMatchObject({
      tooLittle: expect.stringContaining('neither'),
    });
  });

  const refused: [name: string, path: () => string, status: number, code: string][] = [
    ['an unknown probe', () => `${ids.fra}/compare/999999`, 404, 'probe.unknown'],
    ['itself', () => `${ids.fra}/compare/${ids.fra}`, 400, 'probe.same'],
    ['an unknown endpoint', () => `${ids.fra}/compare/${ids.fra2}?endpoint=none`, 404, 'endpoint.unknown'],
    ['no id', () => `${ids.fra}/compare/x`, 400, 'request.invalid'],
    ['all time', () => `${ids.fra}/compare/${ids.fra2}?seconds=99999999`, 400, 'request.invalid'],
  ];
  test.each(refused)('refuses %s', async (_, path, status, code) => {
    expect(await codeOf(await hub.ask(`/api/v1/probes/${path()}`, { token }))).toEqual([status, code]);
  });

  test('is not for a token of one of the regions alone', async () => {
    const other = await hub.token(['read'], ['eu-west']);
    expect(
      await codeOf(await hub.ask(`/api/v1/probes/${ids.fra}/compare/${ids.nyc}`, { token: other })),
    ).toEqual([403, 'auth.region']);
    expect((await compared(`${ids.fra}/compare/${ids.fra2}`, other)).endpoints).toBe(1);
  });
});

describe('parallax probes compare', () => {
  async function cli(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    let [out, err] = ['', ''];
    const code = await run(['probes', 'compare', ...args], {
      env: { PARALLAX_HUB: hub.origin, PARALLAX_TOKEN: token },
      cwd: '/',
      terminal: {
        out: (text) => {
          out += text;
        },
        err: (text) => {
          err += text;
        },
        columns: null,
        colour: false,
      },
      signal: new AbortController().signal,
    });
    return { code, out, err };
  }

  test('takes names and ids, and draws what there is', async () => {
    const { code, out } = await cli('fra-1', String(ids.fra2), '--endpoint', 'shop');
    expect(code).toBe(0);
    expect(out).toMatch(/^total +10\.6 ms +15\.8 ms .* 1\.50 .* 1\.\d\d to 1\.\d\d \*/m);
    expect(out).toContain('only A fails in 0, only B in 1');
    expect(out).toContain('B connect.timeout'.replace('B ', 'B down ('));
    expect(out).toContain('100 results, 1.0% suspect');
  });

  test('with too little it says so, and fails', async () => {
    const { code, err } = await cli('fra-1', 'nyc-1');
    expect([code, err]).toEqual([1, expect.stringContaining('too little')]);
  });

  test('one JSON object with --json; wrong usage is 2', async () => {
    const { out } = await cli('fra-1', 'fra-2', '--json');
    expect((JSON.parse(out) as Compared).endpoints).toBe(1);
    expect(await cli('fra-1', 'nobody')).toMatchObject({
      code: 2,
      err: expect.stringContaining('no probe nobody'),
    });
    expect(await cli('fra-1', 'fra-2', '--since', 'long')).toMatchObject({ code: 2 });
  });
});
