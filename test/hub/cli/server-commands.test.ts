import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandsFromHelp, wordsFromHelp, wordsOf } from '../../../hub/cli/command-words.ts';
import { completionScript, shells } from '../../../hub/cli/completion-scripts.ts';
import { tokensCommand } from '../../../hub/cli/tokens.ts';
import { tellChange } from '../../../hub/store/changes.ts';
import { insertResults } from '../../../hub/store/insert-results.ts';
import { failure } from '../../../shared/failure.ts';
import type { Result } from '../../../shared/result.ts';
import { testDatabase } from '../../harness/postgres.ts';
import { runCli } from '../cli-scene.ts';
import { type HubScene, startHubScene } from '../hub-scene.ts';
import { resultOf } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';

let hub: HubScene;
let env: Record<string, string>;
let endpointId: number;
let regionId: number;
const nowUs = () => Math.floor(Date.now() / 1000) * 1_000_000;

beforeAll(async () => {
  hub = await startHubScene();
  env = { PARALLAX_HUB: hub.origin, PARALLAX_TOKEN: await hub.token(['admin']) };
  ({ id: regionId } = await hub.db.one<{ id: number }>(
    `insert into regions (name) values ('eu-west') returning id`,
  ));
  await tellChange(hub.db, 'probes');
  const created = await hub.ask('/api/v1/endpoints', {
    method: 'POST',
    token: env.PARALLAX_TOKEN ?? '',
    body: JSON.stringify({ name: 'shop', url: 'https://shop.example/' }),
    headers: { 'content-type': 'application/json' },
  });
  endpointId = ((await created.json()) as { id: number }).id;
  await until(async () => (await runCli(['results', 'shop', '--region', 'eu-west'], env)).code === 0);
});
afterAll(() => hub.stop());

const probe = { id: 1, name: 'p', regionId: 0, kid: '', publicKey: null as never, status: 'active' as const };
async function store(atUs: number, over: Partial<Result> = {}): Promise<void> {
  const result = { ...resultOf({ ...probe, regionId }, atUs), endpointId, ...over };
  await insertResults(hub.db, [{ regionId, result }]);
}

describe('parallax results', () => {
  test('says so where there is none yet, and where there is no such endpoint', async () => {
    expect(await runCli(['results', 'shop'], env)).toEqual({
      code: 0,
      out: '',
      err: 'no results of shop yet\n',
    });
    const unknown = await runCli(['results', 'nothing'], env);
    expect([unknown.code, unknown.err]).toEqual([
      1,
      'parallax: there is no endpoint nothing (endpoint.unknown)\n',
    ]);
    expect((await runCli(['results'], env)).code).toBe(2);
    for (const limit of ['-1', 'abc', '0']) {
      expect((await runCli(['results', 'shop', '--limit', limit], env)).code).toBe(2);
    }
  });

  test('newest first, in a table that fits, hostile words made harmless', async () => {
    const at = nowUs() - 3_600_000_000;
    const hostile = failure('expect.body', `\u001b[2J\u202e${'long '.repeat(30)}`);
    for (let i = 0; i < 5; i += 1) await store(at + i * 1_000_000);
    await store(at + 5_000_000, { outcome: 'down', failure: hostile, attempts: 3, suspect: true });
    const { out } = await runCli(['results', 'shop', '--limit', '4'], env, { columns: 80 });
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(5);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    expect(lines[0]).toMatch(/^DUE \(UTC\) +REGION +OUTCOME +TOTAL/);
    expect(lines[1]).toContain(' down ');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not come through
    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
    expect(lines[2]).toContain('10.5 ms');
  });

  test('--json gives one object a line, as many as are asked for, over pages', async () => {
    const at = nowUs() - 7_200_000_000;
    const rows = Array.from({ length: 1000 }, (_, index) => ({
      regionId,
      result: { ...resultOf({ ...probe, regionId }, at + index * 1000), endpointId },
    }));
    await insertResults(hub.db, rows);
    const { out } = await runCli(['results', 'shop', '--limit', '1004', '--json'], env);
    const results = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Result);
    expect(new Set(results.map(({ scheduledAt }) => scheduledAt)).size).toBe(1004);
  });

  test('--follow shows what comes, also what comes late, each once; Ctrl-C ends it with 0', async () => {
    const stop = new AbortController();
    let seen = '';
    const at = nowUs();
    await store(at - 2_000_000);
    const following = runCli(['results', 'shop', '--follow', '--limit', '1', '--json'], env, {
      signal: stop.signal,
      onOut: (text) => {
        seen += text;
      },
    });
    const shown = () =>
      seen
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => (JSON.parse(line) as Result).scheduledAt);
    await until(() => shown().length === 1);
    await store(at + 1_000_000);
    await until(() => shown().length === 2);
    // Due before what was shown last, delivered after it.
    await store(at);
    await until(() => shown().length === 3);
    await store(at + 2_000_000);
    await until(() => shown().length === 4);
    expect(shown()).toEqual([at - 2_000_000, at + 1_000_000, at, at + 2_000_000]);
    stop.abort();
    expect(await following).toMatchObject({ code: 0, err: '' });
  });

  test('a hub that is away is one line', async () => {
    const away = { ...env, PARALLAX_HUB: 'http://127.0.0.1:1' };
    const { code, err } = await runCli(['results', 'shop'], away);
    expect([code, err.split('\n').length]).toEqual([1, 2]);
    expect(err).toMatch(/cannot reach the hub at http:\/\/127\.0\.0\.1:1/);
  });

  test('half of an address never leads to the hub beside it; a damaged file is named', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'parallax-operator-'));
    const beside = { PARALLAX_DATA: folder };
    const { PARALLAX_HUB: origin = '', PARALLAX_TOKEN: token = '' } = env;
    await writeFile(join(folder, 'operator.json'), JSON.stringify({ hub: origin, token }));
    expect((await runCli(['results', 'shop', '--limit', '1'], beside)).code).toBe(0);
    const half = await runCli(['results', 'shop'], { ...beside, PARALLAX_HUB: 'https://other.example' });
    expect([half.code, half.err]).toEqual([2, expect.stringContaining('PARALLAX_TOKEN is not')]);
    expect((await runCli(['results', 'shop'], { ...beside, PARALLAX_TOKEN: 'plx_x' })).code).toBe(2);
    for (const damaged of ['', '{}', '{"a":1}', 'null']) {
      await writeFile(join(folder, 'operator.json'), damaged);
      const { code, err } = await runCli(['results', 'shop'], beside);
      expect([code, err]).toEqual([1, expect.stringMatching(/operator\.json is damaged/)]);
    }
    await rm(folder, { recursive: true });
  });
});

describe('parallax migrate', () => {
  test('up, status and down say what they did; status tells by its exit code', async () => {
    const database = await testDatabase({ empty: true });
    const own = { DATABASE_URL: database.url };
    const before = await runCli(['migrate', 'status'], own);
    expect([before.code, before.out]).toEqual([1, expect.stringContaining('pending')]);
    const up = await runCli(['migrate', 'up'], own);
    expect([up.code, up.out.split('\n')[0]]).toEqual([0, 'up    0001 foundation']);
    expect(await runCli(['migrate', 'up'], own)).toMatchObject({
      code: 0,
      out: 'the schema is up to date\n',
    });
    const status = await runCli(['migrate', 'status', '--json'], own);
    const rows = status.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { state: string; name: string });
    expect([status.code, new Set(rows.map(({ state }) => state))]).toEqual([0, new Set(['applied'])]);
    const down = await runCli(['migrate', 'down', '--steps', '2', '--json'], own);
    expect(down.out.trim().split('\n')).toHaveLength(2);
    expect((await runCli(['migrate', 'status'], own)).code).toBe(1);
    const rest = await runCli(['migrate', 'down', '--steps', '99'], own);
    expect(rest.out.trim().split('\n').at(-1)).toBe('down  0001 foundation');
    expect(await runCli(['migrate', 'down'], own)).toMatchObject({ out: 'there is nothing to take back\n' });
    await database.drop();
  });

  test.each([
    [['migrate', 'up'], {}, /^parallax: DATABASE_URL is not set/],
    [['migrate', 'down', '--steps', '0'], { DATABASE_URL: 'postgresql://x/y' }, /^parallax: --steps 0/],
    [['migrate', 'up'], { DATABASE_URL: 'x' }, /^parallax: DATABASE_URL: is not an address/],
  ] as [string[], Record<string, string>, RegExp][])('%j with %j is wrong usage', async (argv, own, says) => {
    const { code, err } = await runCli(argv, own);
    expect([code, err]).toEqual([2, expect.stringMatching(says)]);
  });
});

describe('parallax tokens and audit', () => {
  test('a token is printed alone, listed without itself and revoked', async () => {
    const made = await runCli(
      ['tokens', 'create', 'wall', '--scope', 'read', '--region', 'eu-west', '--ttl', '1h'],
      env,
    );
    expect(made.out).toMatch(/^plx_[A-Za-z0-9_-]{43}\n$/);
    const listed = await runCli(['tokens', 'list'], env);
    expect(listed.out).toMatch(/wall +good +read +eu-west +in 59m/);
    expect(listed.out).not.toContain('plx_');
    const { id } = await hub.db.one<{ id: number }>(`select id from api_tokens where name = 'wall'`);
    expect(await runCli(['tokens', 'revoke', String(id)], env)).toMatchObject({
      code: 0,
      out: `revoked ${id}\n`,
    });
    expect((await runCli(['tokens', 'list'], env)).out).toMatch(/wall +revoked/);
    expect((await runCli(['tokens', 'revoke', '999999'], env)).err).toBe(
      'parallax: there is no token 999999 (token.unknown)\n',
    );
    const bad = await runCli(['tokens', 'create', 'x', '--scope', 'root'], env);
    expect([bad.code, bad.err]).toEqual([2, 'parallax: --scope root: one of admin, write or read\n']);
    expect((await runCli(['tokens', 'create', 'x'], env)).code).toBe(2);
    const audit = await runCli(['audit', '--limit', '1000'], env);
    expect(audit.out).toMatch(/token:test +token\.revoke +token:wall +127\.0\.0\.1/);
    const lines = (await runCli(['audit', '--limit', '2', '--json'], env)).out.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).action)).toEqual(['token.revoke', 'token.create']);
  });
});

test('the first token comes straight from the database and the keys, and is in the audit log', async () => {
  const own = { DATABASE_URL: hub.databaseUrl, PARALLAX_KEYS: hub.keysDir };
  const made = await runCli(['tokens', 'create', 'first', '--scope', 'admin', '--json'], own);
  const { token, createdBy } = JSON.parse(made.out) as { token: string; createdBy: string };
  expect(createdBy).toBe('command line');
  const listed = await runCli(['tokens', 'list'], { PARALLAX_HUB: hub.origin, PARALLAX_TOKEN: token });
  expect(listed.out).toMatch(/first +good +admin +all/);
  const audit = await runCli(['audit', '--limit', '1000'], env);
  expect(audit.out).toMatch(/command line +token\.create +token:first/);
  const bad = await runCli(['tokens', 'create', 'x', '--scope', 'read', '--ttl', '1y'], own);
  expect([bad.code, bad.err]).toEqual([2, expect.stringContaining('ttl')]);
  const withoutKeys = { ...own, PARALLAX_KEYS: `${hub.keysDir}/none` };
  expect((await runCli(['tokens', 'create', 'x', '--scope', 'read'], withoutKeys)).code).toBe(1);
});

describe('parallax sign-in', () => {
  const redeem = async (out: string) => {
    const secret = /\/sign-in#(\S+)\n$/.exec(out)?.[1] ?? '';
    const headers = { 'content-type': 'application/json', origin: hub.origin };
    return (await hub.ask('/session', { method: 'POST', headers, body: JSON.stringify({ secret }) })).status;
  };

  test('over the API, and straight from the database where nobody has a token', async () => {
    const viaHub = await runCli(['sign-in'], env);
    expect(viaHub.out.startsWith(`${hub.origin}/sign-in#`)).toBe(true);
    expect(await redeem(viaHub.out)).toBe(204);
    const viaDatabase = await runCli(['sign-in'], {
      DATABASE_URL: hub.databaseUrl,
      PARALLAX_KEYS: hub.keysDir,
      PARALLAX_PUBLIC_URL: 'https://hub.example',
    });
    expect(viaDatabase.out.startsWith('https://hub.example/sign-in#')).toBe(true);
    expect(await redeem(viaDatabase.out)).toBe(204);
    // Who can only write to the database lets nobody in.
    const withoutKeys = { DATABASE_URL: hub.databaseUrl, PARALLAX_KEYS: `${hub.keysDir}/none` };
    expect(await runCli(['sign-in'], withoutKeys)).toMatchObject({
      code: 1,
      err: expect.stringContaining('hub-keys.json is missing'),
    });
    const reader = { ...env, PARALLAX_TOKEN: await hub.token(['read']) };
    expect(await runCli(['sign-in'], reader)).toMatchObject({
      code: 1,
      err: expect.stringContaining('auth.scope'),
    });
  });
});

describe('parallax completion', () => {
  const words = () => [
    { path: '', subcommands: commandsFromHelp('  tokens      make\n  check       look\n'), options: [] },
    ...wordsOf(tokensCommand({ env: {}, cwd: '/', signal: AbortSignal.abort(), terminal: null as never })),
    wordsFromHelp(
      'check',
      "Usage\n\nOptions:\n  --spec FILE           it's a file\n  --json                lines\n  -h, --help  help\n",
    ),
  ];

  test('knows commands, subcommands and flags, those of the other bundle too', () => {
    const [start, tokens] = words();
    expect(start?.subcommands.map(({ name }) => name)).toEqual(['tokens', 'check']);
    expect(tokens?.subcommands.map(({ name }) => name)).toEqual(['create', 'list', 'revoke']);
    expect(words().at(-1)?.options).toEqual([
      { name: '--spec', says: "it's a file", takesValue: true },
      { name: '--json', says: 'lines', takesValue: false },
      { name: '--help', says: 'help', takesValue: false },
    ]);
    for (const shell of shells) expect(completionScript(shell, words())).toContain('scope');
  });

  test('bash completes by it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'parallax-completion-'));
    const file = join(folder, 'completion.bash');
    await writeFile(file, completionScript('bash', words()));
    const complete = async (...line: string[]) => {
      const script = `source ${file}; COMP_WORDS=(${line.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${line.length - 1}; _parallax; echo "\${COMPREPLY[@]}"`;
      return (await promisify(execFile)('bash', ['-c', script], { cwd: folder })).stdout.trim();
    };
    expect(await complete('parallax', 'tok')).toBe('tokens');
    expect(await complete('parallax', 'tokens', '')).toContain('create list revoke');
    expect(await complete('parallax', 'tokens', 'create', 'x', '--sc')).toBe('--scope');
    expect(await complete('parallax', 'check', '--spec', 'compl')).toBe('completion.bash');
    await rm(folder, { recursive: true });
  });
});
