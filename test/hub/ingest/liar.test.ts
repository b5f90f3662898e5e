import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import avro from 'avsc';
import { afterEach, describe, expect, test } from 'vitest';
import type { IncomingBatch } from '../../../hub/ingest/bus.ts';
import { maxStreamsPerProbe } from '../../../hub/store/lock-streams.ts';
import { openBatch, type SealedBatch } from '../../../shared/batch.ts';
import { batchSchemas, currentBatchSchema, firstColumnSchema } from '../../../shared/batch-schema.ts';
import {
  batchOf,
  makeScene,
  newStream,
  resultOf,
  type Scene,
  seal,
  sealBytes,
  type TestProbe,
} from './scene.ts';

let scene: Scene;
afterEach(() => scene.end());

const handed = (batches: readonly SealedBatch[]): IncomingBatch[] =>
  batches.map((batch) => ({ ...batch, position: null }));
const ingest = (...batches: readonly SealedBatch[]) =>
  scene.ingest.handle(handed(batches), AbortSignal.timeout(60_000));

async function refused(): Promise<Record<string, number>> {
  const rows = await scene.db.many<{ reason: string; count: number }>(
    'select reason, sum(count)::int8 as count from reject_counts group by 1 order by 1',
  );
  return Object.fromEntries(rows.map(({ reason, count }) => [reason, count]));
}

const upTo = async (stream: string) =>
  (await scene.db.maybeOne<{ up_to: number }>('select up_to from streams where stream = $1', [stream]))
    ?.up_to ?? 0;

/** A spool as its probe has it: sealed once, sent again until it is durable. */
function spoolOf(probe: TestProbe, batches: number, endpointId = 1) {
  const stream = newStream();
  const sealed = Array.from({ length: batches }, (_, index) =>
    seal(
      probe,
      batchOf(probe, {
        stream,
        seq: index + 1,
        results: [resultOf(probe, scene.nowUs - index * 1000, { endpointId })],
      }),
    ),
  );
  return { stream, sealed };
}

describe('one probe that floods', () => {
  test('is put off past its budget, while another is stored; what it had right is stored once it stops', async () => {
    let nowUs = 0;
    scene = await makeScene({
      now: () => nowUs,
      brake: { refillUs: 20_000, burstUs: 100_000 },
      maxRows: 50,
    });
    nowUs = scene.nowUs;
    const liar = await scene.probe('eu-west');
    const honest = await scene.probe('eu-west');
    const { stream, sealed } = spoolOf(liar, 20, 2);
    const lies = () =>
      seal(
        liar,
        batchOf(liar, {
          stream: newStream(),
          results: Array.from({ length: 500 }, (_, n) =>
            resultOf(liar, scene.nowUs - n, { endpointId: 5000 }),
          ),
        }),
      );
    // Each lie is charged 5 ms, so twenty use the budget up.
    for (let sent = 0; sent < 60; sent += 1) await ingest(lies());
    const first = await refused();
    expect(first.endpoint_unknown).toBe(20 * 500);
    expect(first.put_off).toBe(40);
    // What is right of it is put off as well, and not received.
    await ingest(...sealed);
    expect(await upTo(stream)).toBe(0);
    const other = spoolOf(honest, 20);
    await ingest(...other.sealed);
    expect(await upTo(other.stream)).toBe(20);
    expect(await scene.count('results')).toBe(20);
    // It waited, as a spool does that is told of nothing durable.
    nowUs += 5_000_000;
    await ingest(...sealed);
    expect(await upTo(stream)).toBe(20);
    expect(await scene.count('results')).toBe(40);
    expect((await refused()).put_off).toBe(60);
  });

  test('with old batches for ever, in streams with holes and gaps, pays as well', async () => {
    scene = await makeScene({ brake: { refillUs: 0, burstUs: 50_000 }, maxRows: 1 });
    const liar = await scene.probe('eu-west');
    const [old] = spoolOf(liar, 1).sealed;
    if (!old) throw new Error('no batch');
    for (let sent = 0; sent < 150; sent += 1) await ingest(old);
    // 500 us each: a hundred, and the first was no repetition.
    expect(await refused()).toEqual({ put_off: 49 });
    const gapper = await scene.probe('eu-west');
    const gaps = Array.from({ length: 500 }, (_, n) => ({
      fromSeq: 1000 + 2 * n,
      toSeq: 1000 + 2 * n,
      results: 1,
      fromScheduledAt: 0,
      toScheduledAt: 0,
      reason: 'x',
    }));
    const stream = newStream();
    // More than 64 ranges are not taken at all; those that are, are charged a row each.
    for (let sent = 0; sent < 150; sent += 1) {
      await ingest(seal(gapper, batchOf(gapper, { stream, seq: 1, gaps })));
      await ingest(seal(gapper, batchOf(gapper, { stream, seq: 2 + sent * 500, gaps: gaps.slice(0, 60) })));
    }
    expect(await scene.count('gaps')).toBeLessThan(3000);
    expect((await refused()).put_off).toBeGreaterThan(200);
  });

  test('under another name puts nobody off: who does not know a stream of it is kept out', async () => {
    scene = await makeScene({ maxRows: 1 });
    const honest = await scene.probe('eu-west');
    const { stream, sealed } = spoolOf(honest, 4);
    await ingest(...sealed.slice(0, 2));
    const { privateKey } = generateKeyPairSync('ed25519');
    const forged = () => seal({ ...honest, privateKey }, batchOf(honest, { stream: newStream() }));
    // 150 us each of a budget of 200 ms.
    for (let round = 0; round < 16; round += 1) await ingest(...Array.from({ length: 100 }, forged));
    const { bad_signature: verified = 0, put_off: unread = 0 } = await refused();
    expect(verified).toBeGreaterThan(1300);
    expect(unread).toBeGreaterThan(100);
    expect(verified + unread).toBe(1600);
    await ingest(...sealed.slice(2));
    expect(await upTo(stream)).toBe(4);
  });
});

describe('doubt', () => {
  test('of one that names endpoints nobody has takes no look from a new endpoint of another', async () => {
    scene = await makeScene();
    const liar = await scene.probe('eu-west');
    const honest = await scene.probe('eu-west');
    let known = false;
    scene.registry.onRefresh = () => {
      if (known) scene.registry.endpoints.set(4242, new Set([honest.regionId]));
    };
    const lie = (n: number) =>
      seal(liar, batchOf(liar, { results: [resultOf(liar, scene.nowUs, { endpointId: 100_000 + n })] }));
    const liesUntil = new AbortController();
    const lying = (async () => {
      for (let n = 0; !liesUntil.signal.aborted; n += 1) await ingest(lie(n));
    })();
    await ingest(...Array.from({ length: 30 }, (_, n) => lie(1000 + n)));
    const looks = scene.registry.refreshed;
    expect(looks).toBeLessThan(8);
    known = true;
    const { stream, sealed } = spoolOf(honest, 1, 4242);
    await ingest(...sealed);
    liesUntil.abort();
    await lying;
    expect(await upTo(stream)).toBe(1);
    expect(await scene.count('results')).toBe(1);
    expect(await scene.db.many('select 1 from reject_counts where probe_id = $1', [honest.id])).toEqual([]);
  });

  test('of a probe that was approved a moment ago costs it nothing', async () => {
    scene = await makeScene();
    const probe = await scene.probe('eu-west', 'pending');
    scene.registry.onRefresh = () =>
      void scene.registry.probes.set(probe.kid, { ...probe, status: 'active' });
    await ingest(...spoolOf(probe, 1).sealed);
    expect(await scene.count('results')).toBe(1);
    expect(await scene.count('rejects')).toBe(0);
  });

  test('while the database is away fails the batch, not the hub', async () => {
    const unheard: unknown[] = [];
    const hear = (error: unknown) => unheard.push(error);
    process.on('unhandledRejection', hear);
    scene = await makeScene({ maxRows: 1, maxMs: 1 });
    const probe = await scene.probe('eu-west');
    const aborted = new AbortController();
    scene.registry.onRefresh = () => {
      aborted.abort(new Error('stopped'));
      throw new Error('away');
    };
    await scene.db.run('alter table streams rename to streams_away');
    const good = spoolOf(probe, 3).sealed;
    const odd = spoolOf(probe, 1, 5000).sealed;
    await expect(scene.ingest.handle(handed([...good, ...odd]), aborted.signal)).rejects.toThrow();
    await new Promise((done) => setTimeout(done, 20));
    process.off('unhandledRejection', hear);
    expect(unheard).toEqual([]);
  });
});

describe('a number that is used again', () => {
  test('with another content is refused and seen, at once and later; the same bytes are a repetition', async () => {
    scene = await makeScene();
    const probe = await scene.probe('eu-west');
    const stream = newStream();
    const under = (seq: number, endpointId: number) =>
      seal(probe, batchOf(probe, { stream, seq, results: [resultOf(probe, scene.nowUs, { endpointId })] }));
    const first = under(1, 1);
    await ingest(first, under(1, 2), first);
    await ingest(under(1, 3), first);
    expect(await refused()).toEqual({ seq_reused: 2 });
    expect(await scene.db.many('select endpoint_id from results')).toEqual([{ endpoint_id: 1 }]);
    expect(await upTo(stream)).toBe(1);
    const rejects = await scene.db.many<{ content: Buffer }>('select content from rejects order by id');
    const told = rejects.map(({ content }) =>
      openBatch(content, String(currentBatchSchema)).results.map((one) => one.endpointId),
    );
    expect(told).toEqual([[2], [3]]);
  });
});

describe('what a liar leaves behind', () => {
  test('streams by the thousand in one transaction are not more than a probe may have', async () => {
    scene = await makeScene({ maxRows: 5000, maxMs: 200 });
    const [one, other] = [await scene.probe('eu-west'), await scene.probe('eu-west')];
    const batches = Array.from({ length: 600 }, (_, n) => {
      const probe = n % 2 === 0 ? one : other;
      return seal(probe, batchOf(probe, { stream: newStream() }));
    });
    await ingest(...batches);
    const rows = await scene.db.many('select count(*) from streams group by probe_id');
    expect(rows).toEqual([{ count: maxStreamsPerProbe }, { count: maxStreamsPerProbe }]);
    expect(await refused()).toEqual({ streams_exhausted: 600 - 2 * maxStreamsPerProbe });
  });

  test('a hundred results of two megabytes each are kept in words', async () => {
    scene = await makeScene({ maxRows: 5000, maxMs: 500 });
    const probe = await scene.probe('eu-west');
    const rows = firstColumnSchema - 1;
    const type = avro.Type.forSchema(batchSchemas[rows] as avro.Schema);
    const huge = (seq: number, stream: string) => {
      const { results, ...rest } = batchOf(probe, { stream, seq });
      const { scheduledAt, failure: _, ...result } = resultOf(probe, scene.nowUs);
      const wire = {
        ...rest,
        stream: Buffer.from(stream, 'hex'),
        base: scheduledAt,
        results: [{ ...result, scheduled: 0, failureCode: '😀'.repeat(500_000), failureMessage: null }],
      };
      return sealBytes(probe, stream, zstdCompressSync(type.toBuffer(wire)), rows);
    };
    const stream = newStream();
    await ingest(...Array.from({ length: 64 }, (_, n) => huge(n + 1, stream)));
    expect(await refused()).toEqual({ result_invalid: 64 });
    const { most } = await scene.db.one<{ most: number }>('select max(length(content)) as most from rejects');
    expect(most).toBeLessThan(4000);
  });

  test('contents that do not shrink are kept for the first ten, the others by their beginning', async () => {
    scene = await makeScene({ maxRows: 5000, maxMs: 200 });
    const probe = await scene.probe('eu-west');
    await ingest(...Array.from({ length: 120 }, () => sealBytes(probe, newStream(), randomBytes(100_000))));
    expect(await refused()).toEqual({ inflate: 120 });
    const rows = await scene.db.many<{ bytes: number; count: number }>(
      'select length(content) as bytes, count(*) from rejects group by 1 order by 1',
    );
    expect(rows).toEqual([
      { bytes: 1024, count: 90 },
      { bytes: 65_536, count: 10 },
    ]);
  });
});
