import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusLine } from '../../../hub/status/line.ts';
import { runCli } from '../cli-scene.ts';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';
import { until } from '../ingest/until.ts';

let hub: HubScene;
let env: Record<string, string>;

beforeAll(async () => {
  hub = await startHubScene();
  env = { PARALLAX_HUB: hub.origin, PARALLAX_TOKEN: await hub.token(['read']) };
  await until(async () => (await hub.db.many('select id from hub_replicas')).length === 1);
});
afterAll(() => hub?.stop());

const lines = async (code = 0) => {
  const ran = await runCli(['status', '--json'], env);
  expect([ran.code, ran.err]).toEqual([code, '']);
  return ran.out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as StatusLine);
};

describe('parallax status', () => {
  test('of a hub at rest needs nobody, and fits 80 columns', async () => {
    const told = await lines();
    expect(told.filter(({ level }) => level === 'act')).toEqual([]);
    expect(told.map(({ area }) => area)).toEqual(
      expect.arrayContaining(['hub', 'database', 'bus', 'ingest', 'probes', 'rejects', 'partitions', 'keys']),
    );
    const { code, out, err } = await runCli(['status'], env, { columns: 80 });
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: nothing needs a person/);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: no colour where there is no terminal
    expect(out).not.toMatch(/\u001b/);
    if (process.env.SHOW) console.log(out);
  });

  test('tells what is not well, and what to do', async () => {
    await hub.db.run("insert into regions (name) values ('eu-west'), ('us-east')");
    await hub.db.run(
      `insert into probes (region_id, name, public_key, thumbprint, status, enrollment, mac)
       select (select id from regions where name = 'eu-west'), 'box-' || n, '', n::text, 'active', gen_random_uuid(), ''
       from generate_series(1, 3) n`,
    );
    await hub.db.run(
      `insert into probe_presence select id, now() - interval '1 hour' * (id - 1), 1, now() + interval '5 hours', '', 100,
         12000, 5, 300000000, '0', 'node' from probes`,
    );
    await hub.db.run(
      `insert into reject_counts values (date_trunc('hour', now()), 'endpoint_unknown', 1, 1204),
         (date_trunc('hour', now()), 'too_late', 2, 3)`,
    );
    await hub.db.run("insert into streams (stream, probe_id, up_to, ranges) values ('s', 1, 4, '{[7,9)}')");
    await hub.db.run(
      `insert into hub_replicas (id, host, pid, version, roles, seen_at, report)
       values (gen_random_uuid(), 'other', 7, '0.0.1', '{api}', now() - interval '4 minutes', '{}')`,
    );
    await hub.db.run("insert into streams (stream, probe_id, up_to, ranges) values ('t', 1, 8, '{[12,13)}')");
    // Of the hole before that one nobody speaks any more.
    await hub.db.run(
      `insert into audit_log (actor, action, subject, after) values
         ('hub:ingest', 'alarm.stream_hole', 'stream:t', '{"fromSeq": 9}'),
         ('hub:ingest', 'alarm.stream_hole', 'stream:s', '{"fromSeq": 2}')`,
    );
    const told = await lines(1);
    const says = told.map(({ level, says }) => `${level} ${says}`);
    for (const expected of [
      /^act other \(process 7\) has said nothing for 4 min$/,
      /^act not seen for up to 2 h: box-3 \(eu-west, 3\) and box-2/,
      /^act up to 286 MiB wait at /,
      /^watch own delay of up to 12 ms: box-1/,
      /^watch 15 results lost at /,
      /^watch 1 hole in streams: box-1 5 to 6$/,
      /^act what box-1 has under 9 to 11 is missing/,
      /^act 1,204 refused as endpoint_unknown in this hour and the last, all of box-1$/,
      /^watch 3 refused as too_late/,
    ]) {
      expect(says).toContainEqual(expect.stringMatching(expected));
    }
    for (const { level, advice } of told) expect(advice === null).toBe(level === 'ok');
    const { code, out } = await runCli(['status'], env, { columns: 80 });
    expect(code).toBe(1);
    expect(out).toMatch(/\d things need a person/);
    if (process.env.SHOW) console.log(out);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  test('is for those who may see all regions', async () => {
    const narrow = await hub.token(['admin'], ['eu-west']);
    expect(await codeOf(await hub.ask('/api/v1/status', { token: narrow }))).toEqual([403, 'auth.region']);
    expect(await codeOf(await hub.ask('/api/v1/status'))).toEqual([401, 'auth.required']);
  });

  test('without a hub tells so, and goes on with the database', async () => {
    const away = { PARALLAX_HUB: 'http://127.0.0.1:1', PARALLAX_TOKEN: 'plx_x' };
    const alone = await runCli(['status'], away);
    expect([alone.code, alone.err]).toEqual([1, '']);
    expect(alone.out).toMatch(/x cannot reach the hub at http:\/\/127\.0\.0\.1:1/);
    expect(alone.out).toMatch(/set DATABASE_URL/);
    const beside = await runCli(['status'], { ...away, DATABASE_URL: hub.databaseUrl });
    expect(beside.code).toBe(1);
    expect(beside.out).toMatch(/cannot reach the hub/);
    expect(beside.out).toMatch(/partitions.*sealed until/);
    const both = await runCli(['status'], { ...away, DATABASE_URL: 'postgresql://x@127.0.0.1:1/x' });
    expect([both.code, both.err]).toEqual([1, '']);
    expect(both.out).toMatch(/does not answer either/);
  });

  test('--watch wants seconds', async () => {
    expect((await runCli(['status', '--watch', 'x'], env)).code).toBe(2);
  });
});
