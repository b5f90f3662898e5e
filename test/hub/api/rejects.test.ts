import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RejectReason, rejectReasons } from '../../../hub/ingest/reject.ts';
import { rejectWords } from '../../../hub/ingest/reject-words.ts';
import { insertRejects } from '../../../hub/store/insert-rejects.ts';
import { runCli } from '../cli-scene.ts';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';

let hub: HubScene;
let [liar, honest] = [0, 0];
let admin: string;

const rejectOf = (probeId: number | null, reason: RejectReason, detail = 'why', content = 'what') => ({
  reason,
  detail,
  kid: 'k',
  probeId,
  stream: 's',
  seq: 7,
  position: null,
  content: () => Buffer.from(content),
});

beforeAll(async () => {
  hub = await startHubScene();
  admin = await hub.token(['admin']);
  const enroll = async (name: string, region: string) => {
    const { id: regionId } = await hub.db.one<{ id: number }>(
      'insert into regions (name) values ($1) returning id',
      [region],
    );
    const { id } = await hub.db.one<{ id: number }>(
      `insert into probes (region_id, name, public_key, thumbprint, status, enrollment, mac)
       values ($1, $2, $2, $2, 'active', gen_random_uuid(), '') returning id`,
      [regionId, name],
    );
    return id;
  };
  liar = await enroll('liar', 'eu-west');
  honest = await enroll('honest', 'us-east');
  await insertRejects(hub.db, [
    ...Array.from({ length: 1204 }, (_, n) => rejectOf(liar, 'endpoint_not_in_region', `endpoint ${n}`)),
    rejectOf(liar, 'future', 'scheduled at 9\u001b[2J', '{"scheduledAt":9}'),
    rejectOf(honest, 'too_late'),
    rejectOf(null, 'unknown_probe'),
  ]);
  await hub.db.run(
    `insert into reject_counts (hour, reason, probe_id, count)
     values (date_trunc('hour', now()) - interval '5 hours', 'decode', $1, 9)`,
    [liar],
  );
  await hub.db.run(`insert into streams (stream, probe_id, up_to, ranges) values ('abc', $1, 4, '{[7,9)}')`, [
    liar,
  ]);
});
afterAll(() => hub.stop());

interface Answer {
  counts: { reason: string; probe: string | null; count: number; means: string; advice: string }[];
  samples: { id: number; reason: string; detail: string; contentBytes: number }[];
  holes: object[];
  cursor: string | null;
}
async function read(query = '', token = admin): Promise<Answer> {
  const answer = await hub.ask(`/api/v1/rejects?${query}`, { token });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Answer;
}
const seen = ({ counts }: Answer) => counts.map(({ probe, reason, count }) => [probe, reason, count]);

describe('what was refused', () => {
  test('is told by probe and reason, most first, with what it means and what to do', async () => {
    const answer = await read();
    expect(seen(answer).slice(0, 1)).toEqual([['liar', 'endpoint_not_in_region', 1204]]);
    expect(seen(answer).slice(1).sort()).toEqual([
      [null, 'unknown_probe', 1],
      ['honest', 'too_late', 1],
      ['liar', 'future', 1],
    ]);
    expect(answer.counts[0]).toMatchObject({
      means: rejectWords.endpoint_not_in_region.means,
      advice: rejectWords.endpoint_not_in_region.advice,
    });
    expect(answer.holes).toEqual([{ stream: 'abc', probeId: liar, probe: 'liar', fromSeq: 5, toSeq: 6 }]);
  });

  test.each<[string, () => string, unknown[][]]>([
    ['of a probe by name', () => 'probe=honest', [['honest', 'too_late', 1]]],
    ['of a probe by id', () => `probe=${honest}`, [['honest', 'too_late', 1]]],
    ['for a reason', () => 'reason=future', [['liar', 'future', 1]]],
    ['of a region', () => 'region=us-east', [['honest', 'too_late', 1]]],
    [
      'since longer ago',
      () => `reason=decode&since=${new Date(Date.now() - 6 * 3_600_000).toISOString()}`,
      [['liar', 'decode', 9]],
    ],
  ])('%s', async (_, query, expected) => {
    expect(seen(await read(query()))).toEqual(expected);
  });

  test('is of a probe that there is, or was: a name that was mistyped is no good news', async () => {
    expect(await codeOf(await hub.ask('/api/v1/rejects?probe=lair', { token: admin }))).toEqual([
      404,
      'probe.unknown',
    ]);
    const elsewhere = await hub.token(['read'], ['us-east']);
    expect((await hub.ask('/api/v1/rejects?probe=liar', { token: elsewhere })).status).toBe(404);
    expect(seen(await read('probe=honest&reason=future'))).toEqual([]);
  });

  test('is kept whole up to a hundred, and read page by page', async () => {
    let cursor: string | null = '';
    const ids: number[] = [];
    while (cursor !== null) {
      const page: Answer = await read(
        `reason=endpoint_not_in_region&limit=30${cursor && `&cursor=${cursor}`}`,
      );
      ids.push(...page.samples.map(({ id }) => id));
      cursor = page.cursor;
    }
    expect(ids.length).toBe(100);
    expect(new Set(ids).size).toBe(100);
    expect(ids).toEqual(ids.toSorted((a, b) => b - a));
  });

  test('is of one region for a token of one region, and content is for admins of it', async () => {
    const regional = await hub.token(['admin'], ['us-east']);
    const answer = await read('', regional);
    expect(seen(answer)).toEqual([['honest', 'too_late', 1]]);
    expect(answer.holes).toEqual([]);
    const [sample] = (await read('reason=future')).samples;
    const path = `/api/v1/rejects/${sample?.id}/content`;
    expect(await codeOf(await hub.ask(path, { token: regional }))).toEqual([403, 'auth.region']);
    expect(await codeOf(await hub.ask(path, { token: await hub.token(['write']) }))).toEqual([
      403,
      'auth.scope',
    ]);
    const content = await hub.ask(path, { token: admin });
    expect(await content.text()).toBe('{"scheduledAt":9}');
    expect(content.headers.get('content-disposition')).toContain('attachment');
    expect(await codeOf(await hub.ask('/api/v1/rejects/987654/content', { token: admin }))).toEqual([
      404,
      'reject.unknown',
    ]);
    expect(await codeOf(await hub.ask('/api/v1/rejects?region=eu-west', { token: regional }))).toEqual([
      403,
      'auth.region',
    ]);
  });
});

describe('parallax rejects', () => {
  const call = (...argv: string[]) =>
    runCli(['rejects', ...argv], { PARALLAX_HUB: hub.origin, PARALLAX_TOKEN: admin });

  test('shows which probe, why, and what to do', async () => {
    const { code, out } = await call();
    expect(code).toBe(0);
    expect(out).toMatch(
      /1,204 +liar #\d+ +eu-west +endpoint_not_in_region +results of endpoints that are not/,
    );
    expect(out).toContain(`future: ${rejectWords.future.advice}`);
    expect(out).toMatch(/nobody proven +unknown_probe/);
    expect(out).toMatch(/liar #\d+ +batches 5 to 6 +abc/);
  });

  test('one by one, without what would steer the terminal', async () => {
    const { out } = await call('--samples', '--reason', 'future');
    expect(out).toContain('scheduled at 9\ufffd[2J');
    expect(out).not.toContain('\u001b');
  });

  test('as lines of JSON', async () => {
    const { out } = await call('--json', '--probe', 'honest', '--samples');
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; reason: string });
    expect(lines.map(({ type, reason }) => [type, reason])).toEqual([
      ['count', 'too_late'],
      ['sample', 'too_late'],
    ]);
  });

  test('where there is nothing says so, and takes no age that is none', async () => {
    expect((await call('--probe', 'honest', '--reason', 'future')).out).toBe(
      'nothing was refused in the last 1h\n',
    );
    const nobody = await call('--probe', 'nobody');
    expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining('there is no probe nobody')]);
    expect((await call('--since', 'yesterday')).code).toBe(2);
    const unknown = await call('--reason', 'lies');
    expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining('endpoint_not_in_region')]);
  });
});

test('every reason has words', () => {
  for (const reason of rejectReasons) {
    const { means, advice } = rejectWords[reason];
    expect([reason, means.length > 10, advice.length > 10]).toEqual([reason, true, true]);
  }
});
