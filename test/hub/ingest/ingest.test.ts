import { generateKeyPairSync } from 'node:crypto';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { IncomingBatch } from '../../../hub/ingest/bus.ts';
import { createIngest } from '../../../hub/ingest/ingest.ts';
import { type Batch, encodeBatch, type SealedBatch } from '../../../shared/batch.ts';
import type { Result } from '../../../shared/result.ts';
import {
  batchOf,
  downOf,
  makeScene,
  newStream,
  quiet,
  resultOf,
  type Scene,
  seal,
  sealBytes,
  type TestProbe,
} from './scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await makeScene();
});
afterEach(() => scene.end());

function handed(...batches: SealedBatch[]): IncomingBatch[] {
  return batches.map((batch) => ({ ...batch, position: null }));
}

const ingest = (...batches: SealedBatch[]) =>
  scene.ingest.handle(handed(...batches), AbortSignal.timeout(20_000));

describe('a good batch', () => {
  test('is stored with every field, with the newest of each pair, and moves its stream', async () => {
    const probe = await scene.probe('eu-west');
    const stream = newStream();
    const early = scene.nowUs - 60_000_000;
    const tls = {
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      notAfter: 1_900_000_000,
      issuer: 'CN=Zürich "CA"',
      fingerprint: 'ab'.repeat(32),
    };
    const facts = { rcode: 'NOERROR', answers: ['"Zürich"', 'b'], ttl: 30, flags: { ad: true } };
    await ingest(
      seal(
        probe,
        batchOf(probe, {
          stream,
          results: [
            downOf(probe, scene.nowUs, { firstFailure: 'dns.timeout', attempts: 3 }),
            resultOf(probe, early, { tls, kind: 'extra', suspect: true, truncated: true, bytes: 5e9, facts }),
          ],
        }),
      ),
    );
    expect(await scene.db.many('select reason, detail from rejects')).toEqual([]);
    const rows = await scene.db.many(
      `select endpoint_id, region_id, scheduled_at, probe_id, rev, kind, outcome, suspect, truncated, attempts,
         redirects, status, late_by_us, dns_us, connect_us, tls_us, wait_us, transfer_us, total_us, bytes,
         failure_code, failure_message, first_failure, http_version, remote_ip, c.facts as tls, r.facts
       from results r left join certificates c on c.id = tls_id order by scheduled_at`,
    );
    expect(rows).toEqual([
      {
        endpoint_id: 1,
        region_id: probe.regionId,
        scheduled_at: new Date(early / 1000),
        probe_id: probe.id,
        rev: 1,
        kind: 1,
        outcome: 0,
        suspect: true,
        truncated: true,
        attempts: 1,
        redirects: 0,
        status: 200,
        late_by_us: 400,
        dns_us: 1000,
        connect_us: 2000,
        tls_us: 3000,
        wait_us: 4000,
        transfer_us: 500,
        total_us: 10_500,
        bytes: 5e9,
        failure_code: null,
        failure_message: null,
        first_failure: null,
        http_version: '1.1',
        remote_ip: '203.0.113.7',
        tls,
        facts,
      },
      expect.objectContaining({
        scheduled_at: new Date(scene.nowUs / 1000),
        kind: 0,
        outcome: 2,
        attempts: 3,
        status: null,
        failure_code: 'connect.refused',
        failure_message: 'nobody listens on 203.0.113.7:443',
        first_failure: 'dns.timeout',
        tls: null,
        facts: null,
      }),
    ]);
    expect(await scene.db.many('select endpoint_id, scheduled_at, outcome from latest_results')).toEqual([
      { endpoint_id: 1, scheduled_at: new Date(scene.nowUs / 1000), outcome: 2 },
    ]);
    expect(await scene.db.many('select stream, probe_id, up_to, ranges::text from streams')).toEqual([
      { stream, probe_id: probe.id, up_to: 1, ranges: '{}' },
    ]);
    expect(await scene.db.many('select * from rejects')).toEqual([]);
  });
});

interface RejectRow {
  reason: string;
  probe_id: number | null;
  stream: string | null;
  seq: number | null;
}

const rejects = () =>
  scene.db.many<RejectRow>('select reason, probe_id, stream, seq from rejects order by id');
const streams = () =>
  scene.db.many<{ stream: string; probe_id: number; up_to: number; ranges: string }>(
    'select stream, probe_id, up_to, ranges::text from streams order by stream',
  );
const durable = async (stream: string) =>
  (await streams()).find((row) => row.stream === stream)?.up_to ?? null;

describe('who is not proven moves nothing', () => {
  const stream = newStream();
  const cases: [string, string, (probe: TestProbe) => SealedBatch | Promise<SealedBatch>][] = [
    [
      'a signature by another key',
      'bad_signature',
      (probe) => {
        const { privateKey } = generateKeyPairSync('ed25519');
        return seal({ ...probe, privateKey }, batchOf(probe, { stream }));
      },
    ],
    [
      'a byte changed after signing',
      'bad_signature',
      (probe) => {
        const sealed = seal(probe, batchOf(probe, { stream }));
        const value = Uint8Array.from(sealed.value);
        value[10] = (value[10] ?? 0) ^ 1;
        return { ...sealed, value };
      },
    ],
    [
      'a signature cut short',
      'bad_signature',
      (probe) => {
        const sealed = seal(probe, batchOf(probe, { stream }));
        return { ...sealed, headers: { ...sealed.headers, sig: sealed.headers.sig.subarray(0, 63) } };
      },
    ],
    [
      'a key nobody enrolled',
      'unknown_probe',
      (probe) => seal({ ...probe, kid: 'k'.repeat(43) }, batchOf(probe, { stream })),
    ],
    [
      'no headers at all',
      'headers',
      (probe) => ({
        ...seal(probe, batchOf(probe, { stream })),
        headers: { kid: '', sig: new Uint8Array(), schema: '' },
      }),
    ],
    [
      "another probe's batch under one's own name",
      'bad_signature',
      async (probe) => {
        const thief = await scene.probe('eu-west');
        const sealed = seal(thief, batchOf(thief, { stream }));
        return { ...sealed, headers: { ...sealed.headers, kid: probe.kid } };
      },
    ],
  ];
  test.each(cases)('%s', async (_, reason, make) => {
    const probe = await scene.probe('eu-west');
    await ingest(await make(probe));
    expect((await rejects()).map((row) => [row.reason, row.stream, row.seq])).toEqual([[reason, null, null]]);
    expect(await streams()).toEqual([]);
    expect(await scene.count('results')).toBe(0);
  });

  test.each([
    ['garbage', 'inflate', Buffer.from('not zstd')],
    ['an empty value', 'inflate', Buffer.alloc(0)],
    ['more bytes than a batch has', 'too_large', Buffer.alloc(256 * 1024 + 1)],
  ])('%s, though signed, is refused without a number', async (_, reason, value) => {
    const probe = await scene.probe('eu-west');
    await ingest(sealBytes(probe, stream, value));
    expect((await rejects()).map((row) => [row.reason, row.probe_id, row.seq])).toEqual([
      [reason, probe.id, null],
    ]);
    expect(await streams()).toEqual([]);
  });

  test('a schema of the future is refused without a number, so that it is sent again to a newer hub', async () => {
    const probe = await scene.probe('eu-west');
    const sealed = seal(probe, batchOf(probe, { stream }));
    await ingest({ ...sealed, headers: { ...sealed.headers, schema: '999' } });
    expect((await rejects()).map((row) => row.reason)).toEqual(['schema_unknown']);
    expect(await streams()).toEqual([]);
    await ingest(sealed);
    expect(await durable(stream)).toBe(1);
  });
});

describe('a whole batch by a proven probe that is refused counts as received', () => {
  const cases: [string, string, (probe: TestProbe) => Partial<Batch>][] = [
    ['says another probe', 'probe_mismatch', (probe) => ({ probeId: probe.id + 1 })],
    ['says another region', 'region_mismatch', (probe) => ({ regionId: probe.regionId + 1 })],
    [
      'has a gap that ends before it begins',
      'gap_invalid',
      () => ({ gaps: [gapOf({ fromSeq: 9, toSeq: 3 })] }),
    ],
    ['has a gap from 0', 'gap_invalid', () => ({ gaps: [gapOf({ fromSeq: 0, toSeq: 3 })] })],
    ['has a gap to infinity', 'gap_invalid', () => ({ gaps: [gapOf({ toSeq: 2 ** 50 })] })],
  ];
  test.each(cases)('because it %s', async (_, reason, over) => {
    const probe = await scene.probe('eu-west');
    const stream = newStream();
    await ingest(
      seal(probe, batchOf(probe, { stream, results: [resultOf(probe, scene.nowUs)], ...over(probe) })),
    );
    expect(await rejects()).toEqual([{ reason, probe_id: probe.id, stream, seq: 1 }]);
    expect(await durable(stream)).toBe(1);
    expect(await scene.count('results')).toBe(0);
    expect(await scene.count('gaps')).toBe(0);
  });

  test.each(['revoked', 'pending'] as const)('because its probe is %s', async (status) => {
    const probe = await scene.probe('eu-west', status);
    await ingest(seal(probe, batchOf(probe, { results: [resultOf(probe, scene.nowUs)] })));
    expect((await rejects()).map((row) => row.reason)).toEqual([`probe_${status}`]);
    expect(await scene.count('results')).toBe(0);
  });

  test.each([0, -5, 2 ** 50])('but not where its number is %d', async (seq) => {
    const probe = await scene.probe('eu-west');
    await ingest(seal(probe, batchOf(probe, { seq })));
    expect((await rejects()).map((row) => row.reason)).toEqual(['seq_range']);
    expect(await streams()).toEqual([]);
  });
});

describe('one result that is refused spoils no other', () => {
  const day = 86_400_000_000;
  const cases: [string, string, (probe: TestProbe) => Result][] = [
    [
      'of an unknown endpoint',
      'endpoint_unknown',
      (probe) => resultOf(probe, scene.nowUs, { endpointId: 5000 }),
    ],
    [
      'of an endpoint of other regions',
      'endpoint_not_in_region',
      (probe) => {
        scene.registry.endpoints.set(7, new Set([99]));
        return resultOf(probe, scene.nowUs, { endpointId: 7 });
      },
    ],
    ['of the future', 'future', (probe) => resultOf(probe, scene.nowUs + 61_000_000)],
    ['past retention and sealed', 'too_late', (probe) => resultOf(probe, scene.keeper.sealedUntilUs() - 1)],
    ['that is absurd', 'result_invalid', (probe) => resultOf(probe, scene.nowUs, { attempts: -4 })],
  ];
  test.each(cases)('%s', async (_, reason, odd) => {
    const probe = await scene.probe('eu-west');
    const stream = newStream();
    const results = [resultOf(probe, scene.nowUs - 1), odd(probe), resultOf(probe, scene.nowUs - 2)];
    await ingest(seal(probe, batchOf(probe, { stream, results })));
    expect(await rejects()).toEqual([{ reason, probe_id: probe.id, stream, seq: 1 }]);
    expect(await scene.count('results')).toBe(2);
    expect(await durable(stream)).toBe(1);
    const { content } = await scene.db.one<{ content: Buffer }>('select content from rejects');
    expect(JSON.parse(content.toString())).toMatchObject({ scheduledAt: results[1]?.scheduledAt });
  });

  test('with a failure code of a newer probe', async () => {
    const probe = await scene.probe('eu-west');
    const odd = downOf(probe, scene.nowUs);
    const newer = { ...odd, failure: { ...odd.failure, code: 'quic.timeout' } } as unknown as Result;
    await ingest(seal(probe, batchOf(probe, { results: [newer, resultOf(probe, scene.nowUs - 1)] })));
    expect((await rejects()).map((row) => row.reason)).toEqual(['result_invalid']);
    expect(await scene.count('results')).toBe(1);
  });

  test.each([String.raw`\u0000`, String.raw`\ud800`])('with %s in the name of a fact', async (name) => {
    const probe = await scene.probe('eu-west');
    const odd = resultOf(probe, scene.nowUs, { facts: { QQQQQQ: 1 } });
    const batch = batchOf(probe, {
      results: [odd, resultOf(probe, scene.nowUs - 1, { facts: { 'a\0b': 1 } })],
    });
    const honest = zstdDecompressSync(encodeBatch(batch));
    const value = zstdCompressSync(Buffer.from(honest.toString('latin1').replace('QQQQQQ', name), 'latin1'));
    await ingest(sealBytes(probe, batch.stream, value));
    expect((await rejects()).map((row) => row.reason)).toEqual(['result_invalid']);
    expect(await scene.db.many('select facts from results')).toEqual([{ facts: { 'a\ufffdb': 1 } }]);
  });

  test('that has no partition, after another look at them', async () => {
    const probe = await scene.probe('eu-west');
    const name = await scene.db.one<{ name: string }>(
      `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'results'::regclass order by 1 limit 1`,
    );
    await scene.db.run(`drop table ${name.name}`);
    // It knows that it is gone; the look that is to come makes it anew.
    await scene.keeper.look();
    const results = [
      resultOf(probe, scene.nowUs - 7 * day + 5),
      // Another doubt beside it, which comes to nothing.
      resultOf(probe, scene.nowUs, { endpointId: 5000 }),
    ];
    await ingest(seal(probe, batchOf(probe, { results })));
    expect(await scene.count('results')).toBe(1);
    expect((await rejects()).map((row) => row.reason)).toEqual(['endpoint_unknown']);
  });

  test('stores the region of the registry, whatever the results say', async () => {
    const probe = await scene.probe('eu-west');
    const lying = resultOf(probe, scene.nowUs, { regionId: 77, probeId: 12_345 });
    await ingest(seal(probe, batchOf(probe, { results: [lying] })));
    expect(await scene.db.many('select region_id, probe_id from results')).toEqual([
      { region_id: probe.regionId, probe_id: probe.id },
    ]);
  });
});

test('a probe and an endpoint that only another replica knows yet are looked up before they are refused', async () => {
  const probe = await scene.probe('eu-west');
  scene.registry.probes.delete(probe.kid);
  scene.registry.endpoints.delete(3);
  scene.registry.onRefresh = () => {
    scene.registry.probes.set(probe.kid, probe);
    scene.registry.endpoints.set(3, new Set([probe.regionId]));
  };
  await ingest(seal(probe, batchOf(probe, { results: [resultOf(probe, scene.nowUs, { endpointId: 3 })] })));
  expect(await scene.count('results')).toBe(1);
  const liar = seal({ ...probe, kid: 'n'.repeat(43) }, batchOf(probe));
  await ingest(...Array.from({ length: 20 }, () => liar));
  expect(scene.registry.refreshed).toBeLessThan(4);
});

describe('a stream', () => {
  test('is durable up to its first hole, and closes when the hole does', async () => {
    const probe = await scene.probe('eu-west');
    const stream = newStream();
    const numbered = sealedOnce((seq) =>
      seal(probe, batchOf(probe, { stream, seq, results: [resultOf(probe, scene.nowUs - seq * 1000)] })),
    );
    await ingest(numbered(1), numbered(2), numbered(4), numbered(5), numbered(7));
    expect(await streams()).toEqual([{ stream, probe_id: probe.id, up_to: 2, ranges: '{[4,6),[7,8)}' }]);
    await ingest(numbered(5), numbered(4), numbered(3));
    expect(await streams()).toEqual([{ stream, probe_id: probe.id, up_to: 5, ranges: '{[7,8)}' }]);
    await ingest(numbered(6));
    expect(await durable(stream)).toBe(7);
    expect(await scene.count('results')).toBe(7);
    expect(await scene.count('rejects')).toBe(0);
  });

  test('of another probe is not touched', async () => {
    const owner = await scene.probe('eu-west');
    const other = await scene.probe('us-east');
    const stream = newStream();
    await ingest(seal(owner, batchOf(owner, { stream })));
    await ingest(
      seal(other, batchOf(other, { stream, seq: 2, results: [resultOf(other, scene.nowUs)] })),
      seal(other, batchOf(other, { stream, seq: 3, gaps: [gapOf({ fromSeq: 1, toSeq: 1000 })] })),
    );
    expect((await rejects()).map((row) => [row.reason, row.probe_id])).toEqual([
      ['stream_foreign', other.id],
      ['stream_foreign', other.id],
    ]);
    expect(await durable(stream)).toBe(1);
    expect(await scene.count('results')).toBe(0);
  });

  test('counts what a signed gap record says was dropped', async () => {
    const probe = await scene.probe('eu-west');
    const stream = newStream();
    const gaps = [gapOf({ fromSeq: 1, toSeq: 40, results: 12_345 })];
    await ingest(seal(probe, batchOf(probe, { stream, seq: 41, gaps })));
    expect(await durable(stream)).toBe(41);
    expect(await scene.db.many('select stream, seq, from_seq, to_seq, results, reason from gaps')).toEqual([
      { stream, seq: 41, from_seq: 1, to_seq: 40, results: 12_345, reason: 'the spool is full' },
    ]);
  });

  test('with too many holes takes no more of them until some are closed, and loses nothing', async () => {
    const probe = await scene.probe('eu-west');
    const stream = newStream();
    const numbered = sealedOnce((seq) =>
      seal(probe, batchOf(probe, { stream, seq, results: [resultOf(probe, scene.nowUs - seq * 1000)] })),
    );
    await ingest(...Array.from({ length: 70 }, (_, index) => numbered(2 * index + 2)));
    expect(await scene.count('results')).toBe(64);
    expect(await scene.count('rejects')).toBe(0);
    await ingest(...Array.from({ length: 140 }, (_, index) => numbered(index + 1)));
    expect(await streams()).toEqual([{ stream, probe_id: probe.id, up_to: 140, ranges: '{}' }]);
    expect(await scene.count('results')).toBe(140);
    expect(await scene.count('rejects')).toBe(0);
  });

  test('one too many for its probe is refused, and takes no room', async () => {
    const probe = await scene.probe('eu-west');
    await scene.db.run(
      `insert into streams (stream, probe_id) select md5(n::text), $1 from generate_series(1, 256) n`,
      [probe.id],
    );
    await ingest(seal(probe, batchOf(probe)));
    expect((await rejects()).map((row) => row.reason)).toEqual(['streams_exhausted']);
    expect(await scene.count('streams')).toBe(256);
  });
});

/** As a spool has it: what was sealed under a number is what is sent again. */
function sealedOnce(make: (seq: number) => SealedBatch): (seq: number) => SealedBatch {
  const kept = new Map<number, SealedBatch>();
  return (seq) => {
    const sealed = kept.get(seq) ?? make(seq);
    kept.set(seq, sealed);
    return sealed;
  };
}

function gapOf(over: Partial<Batch['gaps'][number]> = {}): Batch['gaps'][number] {
  return {
    fromSeq: 1,
    toSeq: 1,
    results: 5,
    fromScheduledAt: 1_700_000_000_000_000,
    toScheduledAt: 1_700_000_001_000_000,
    reason: 'the spool is full',
    ...over,
  };
}

describe('the same slot twice', () => {
  test('from two batches of a probe is stored once and refused once', async () => {
    const probe = await scene.probe('eu-west');
    const slot = (endpointId: number, over: Partial<Result> = {}) =>
      resultOf(probe, scene.nowUs, { endpointId, ...over });
    await ingest(seal(probe, batchOf(probe, { results: [slot(1), slot(2)] })));
    await ingest(seal(probe, batchOf(probe, { results: [slot(2, { status: 500 }), slot(3)] })));
    // And within one transaction, over its batches and within one.
    await ingest(
      seal(probe, batchOf(probe, { results: [slot(4), slot(4, { status: 500 })] })),
      seal(probe, batchOf(probe, { results: [slot(4, { status: 501 }), slot(5)] })),
    );
    expect((await rejects()).map((row) => row.reason)).toEqual(Array(3).fill('duplicate_slot'));
    expect(await scene.db.many('select endpoint_id, status from results order by 1')).toEqual(
      [1, 2, 3, 4, 5].map((endpoint_id) => ({ endpoint_id, status: 200 })),
    );
  });

  test('from two probes of a region are two results', async () => {
    const one = await scene.probe('eu-west');
    const two = await scene.probe('eu-west');
    await ingest(
      seal(one, batchOf(one, { results: [resultOf(one, scene.nowUs)] })),
      seal(two, batchOf(two, { results: [resultOf(two, scene.nowUs)] })),
    );
    expect(await scene.count('results')).toBe(2);
    expect(await scene.count('rejects')).toBe(0);
  });
});

test('the newest result of a pair stays the newest, whatever the order of arrival', async () => {
  const probe = await scene.probe('eu-west');
  const at = (offset: number, status: number) => resultOf(probe, scene.nowUs + offset, { status });
  await ingest(seal(probe, batchOf(probe, { results: [at(0, 200), at(2000, 202), at(1000, 201)] })));
  await ingest(seal(probe, batchOf(probe, { results: [at(1500, 500)] })));
  expect(await scene.db.many('select status from latest_results')).toEqual([{ status: 202 }]);
});

test('rejects of an hour, reason and probe are kept whole up to a hundred, then counted', async () => {
  const probe = await scene.probe('eu-west');
  const results = (count: number) =>
    Array.from({ length: count }, (_, index) => resultOf(probe, scene.nowUs - index, { endpointId: 5000 }));
  await ingest(seal(probe, batchOf(probe, { results: results(60) })));
  await ingest(seal(probe, batchOf(probe, { results: results(90) })));
  await ingest(seal(probe, batchOf(probe, { results: results(500) })));
  const other = await scene.probe('eu-west');
  await ingest(
    seal(other, batchOf(other, { results: [resultOf(other, scene.nowUs, { endpointId: 5000 })] })),
  );
  expect(await scene.db.many('select probe_id, count(*) from rejects group by 1 order by 1')).toEqual([
    { probe_id: probe.id, count: 100 },
    { probe_id: other.id, count: 1 },
  ]);
  const counts = await scene.db.many(
    'select probe_id, sum(count)::int8 as count from reject_counts group by 1 order by 1',
  );
  expect(counts).toEqual([
    { probe_id: probe.id, count: 650 },
    { probe_id: other.id, count: 1 },
  ]);
});

test('timings longer than the columns hold are kept as the longest, and the batch is stored', async () => {
  const probe = await scene.probe('eu-west');
  const timings = { ...resultOf(probe, 0).timings, total: 3_600_000_000 };
  await ingest(
    seal(probe, batchOf(probe, { results: [resultOf(probe, scene.nowUs - 5e9, { timings, lateBy: 4e9 })] })),
  );
  expect(await scene.db.many('select total_us, late_by_us from results')).toEqual([
    { total_us: 2_147_483_647, late_by_us: 2_147_483_647 },
  ]);
});

test('two consumers with the same pairs and streams in crossed orders neither deadlock nor double', async () => {
  const probes = [await scene.probe('eu-west'), await scene.probe('us-east')];
  const other = createIngest({
    db: scene.db,
    registry: scene.registry,
    keeper: scene.keeper,
    log: quiet,
    now: () => scene.nowUs,
    maxRows: 700,
    maxMs: 5,
  });
  const sealed = probes.flatMap((probe) =>
    Array.from({ length: 12 }, (_, batch) => {
      const results = Array.from({ length: 100 }, (_, index) =>
        resultOf(probe, scene.nowUs - batch * 1000, { endpointId: 1 + ((index * 37) % 101) }),
      );
      return seal(
        probe,
        batchOf(probe, {
          stream: `${batch % 3}${probe.id}`.padEnd(32, '0'),
          seq: 1 + Math.floor(batch / 3),
          results,
        }),
      );
    }),
  );
  await Promise.all([
    scene.ingest.handle(handed(...sealed), AbortSignal.timeout(20_000)),
    other.handle(handed(...[...sealed].reverse()), AbortSignal.timeout(20_000)),
  ]);
  expect(await scene.count('results')).toBe(2400);
  expect(await scene.count('rejects')).toBe(0);
  expect((await streams()).map((row) => [row.up_to, row.ranges])).toEqual(Array(6).fill([4, '{}']));
});

test('a batch that cannot even be refused in its stream stops nobody else', async () => {
  const gone = await scene.probe('eu-west');
  const other = await scene.probe('us-east');
  // Deleted behind the registry: its streams can be written down no more.
  await scene.db.run('delete from probes where id = $1', [gone.id]);
  await ingest(
    seal(gone, batchOf(gone, { results: [resultOf(gone, scene.nowUs)] })),
    seal(other, batchOf(other, { results: [resultOf(other, scene.nowUs)] })),
  );
  expect(await scene.db.many('select probe_id from results')).toEqual([{ probe_id: other.id }]);
  expect(await scene.db.many('select reason, probe_id from rejects')).toEqual([
    { reason: 'poison', probe_id: gone.id },
  ]);
});
