import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startKeeper } from '../../../hub/store/keeper.ts';
import { dayUs } from '../../../hub/store/partition-plan.ts';
import { evidenceSchema } from '../../../shared/evidence.ts';
import type { Result } from '../../../shared/result.ts';
import { batchOf, downOf, makeScene, quiet, resultOf, type Scene, seal } from './scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await makeScene();
});
afterEach(() => scene.end());

async function ingest(...evidence: (string | null)[]): Promise<void> {
  const probe = await scene.probe('eu-west');
  const results = evidence.map(
    (content, index): Result => downOf(probe, scene.nowUs + index * 1000, { evidence: content }),
  );
  const batch = seal(probe, batchOf(probe, { results }));
  await scene.ingest.handle([{ ...batch, position: null }], AbortSignal.timeout(20_000));
}

const stored = () =>
  scene.db.many<{ content: unknown; region: string }>(
    `select e.content, g.name as region from evidence e join regions g on g.id = e.region_id
     join results r using (endpoint_id, region_id, scheduled_at, probe_id) order by e.scheduled_at`,
  );

describe('evidence', () => {
  test('is stored beside its result, under the region of the registry', async () => {
    const content = evidenceSchema.parse({
      request: { method: 'GET', url: 'https://a/', headers: [['accept', '*/*']], bodyBytes: 0 },
      response: { status: 500, headers: [['server', 'Zürich "1"']], body: 'a\nb\\' },
      phase: 'transfer',
    });
    await ingest(JSON.stringify(content), null);
    expect(await scene.count('results')).toBe(2);
    expect(await stored()).toEqual([{ region: 'eu-west', content }]);
  });

  test('what a newer probe tells besides is left out', async () => {
    await ingest('{"phase":"wait","weather":{"rain":true},"response":null}');
    expect(await stored()).toMatchObject([{ content: { phase: 'wait', response: null } }]);
    expect(JSON.stringify(await stored())).not.toContain('weather');
  });

  test.each([
    ['no JSON', 'x'],
    ['no object', '[]'],
    ['a NUL in a value', '{"resolver":"a\\u0000b"}'],
    ['half a surrogate pair in a value', '{"response":{"status":1,"headers":[["a","\\ud800"]],"body":null}}'],
    ['a number where a text is', '{"resolver":7}'],
    ['a number that is none', '{"response":{"status":1e999,"headers":[]}}'],
    ['too many headers', JSON.stringify({ response: { status: 1, headers: Array(65).fill(['a', 'b']) } })],
    ['a text that is too long', JSON.stringify({ resolver: 'x'.repeat(201) })],
    ['more than it may have', JSON.stringify({ weather: 'x'.repeat(9000) })],
    ['depth without end', '['.repeat(8000)],
  ])('a result with %s is refused, the others of its batch are stored', async (_, lie) => {
    await ingest(lie, '{"phase":"dns"}');
    expect(await scene.count('results')).toBe(1);
    expect(await stored()).toMatchObject([{ content: { phase: 'dns' } }]);
    expect(await scene.db.many('select reason from rejects')).toEqual([{ reason: 'result_invalid' }]);
  });

  test.each([
    ['NUL and half a pair in a name', '{"weather\\u0000":1,"\\ud800":2,"phase":"dns"}'],
    ['__proto__', '{"__proto__":{"phase":"tls"},"phase":"dns"}'],
    ['a number beyond numeric', '{"weather":1e999999,"phase":"dns"}'],
  ])('what is not known may be anything: %s', async (_, odd) => {
    await ingest(odd);
    expect(await stored()).toMatchObject([{ content: { phase: 'dns' } }]);
  });

  test('a slot that is sent twice keeps what came first', async () => {
    const probe = await scene.probe('eu-west');
    for (const phase of ['dns', 'tls']) {
      const results = [downOf(probe, scene.nowUs, { evidence: `{"phase":"${phase}"}` })];
      const batch = seal(probe, batchOf(probe, { results }));
      await scene.ingest.handle([{ ...batch, position: null }], AbortSignal.timeout(20_000));
    }
    expect(await stored()).toMatchObject([{ content: { phase: 'dns' } }]);
    expect(await scene.db.many('select reason from rejects')).toEqual([{ reason: 'duplicate_slot' }]);
  });

  test('goes after seven days, whatever results are kept for', async () => {
    await ingest('{"phase":"dns"}');
    const at = (days: number) => new Date(scene.nowUs / 1000 - days * 86_400_000);
    for (const days of [6.9, 7.1, 30]) {
      await scene.db.run(
        `insert into evidence values (1, 1, $1::timestamptz, 1, '{}') on conflict do nothing`,
        [at(days)],
      );
    }
    for (const retentionDays of [3, 30]) {
      const keeper = await startKeeper({
        db: scene.db,
        log: quiet,
        now: () => scene.nowUs,
        databaseNow: async () => scene.nowUs,
        policy: () => ({ width: 'day', retentionDays }),
      });
      await keeper.stop();
      const left = await scene.db.many<{ us: number }>(
        'select (extract(epoch from scheduled_at) * 1000000)::int8 as us from evidence order by 1',
      );
      expect(left.map(({ us }) => Math.round(((scene.nowUs - us) / dayUs) * 10) / 10)).toEqual([6.9, 0]);
    }
  });

  test('what is up or suspect has none, whatever a probe says', async () => {
    const probe = await scene.probe('eu-west');
    const evidence = '{"phase":"dns"}';
    const results = [
      resultOf(probe, scene.nowUs, { evidence }),
      downOf(probe, scene.nowUs + 1000, { evidence, suspect: true }),
    ];
    const batch = seal(probe, batchOf(probe, { results }));
    await scene.ingest.handle([{ ...batch, position: null }], AbortSignal.timeout(20_000));
    expect([await scene.count('results'), await scene.count('evidence')]).toEqual([2, 0]);
  });
});
