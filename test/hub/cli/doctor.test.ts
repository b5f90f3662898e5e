import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { doctorCommand } from '../../../hub/cli/doctor.ts';
import { runCommandLine, type Terminal } from '../../../shared/command-line.ts';
import type { Finding } from '../../../shared/doctor.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';

let database: TestDatabase;
let empty: TestDatabase;
let folder = '';
beforeAll(async () => {
  [database, empty] = await Promise.all([testDatabase(), testDatabase({ empty: true })]);
  folder = await mkdtemp(join(tmpdir(), 'parallax-doctor-'));
});
afterAll(async () => {
  await Promise.all([database.drop(), empty.drop(), rm(folder, { recursive: true })]);
});

async function examine(env: Record<string, string>) {
  let out = '';
  const terminal: Terminal = {
    out: (text) => {
      out += text;
    },
    err: () => undefined,
    columns: null,
    colour: false,
  };
  const { signal } = new AbortController();
  const context = { env, cwd: folder, terminal, signal };
  const code = await runCommandLine(doctorCommand(context), ['hub', '--json'], terminal);
  const findings = out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Finding);
  return { code, out, of: (check: string) => findings.filter((finding) => finding.check === check) };
}

const settings = () => ({
  DATABASE_URL: database.url,
  PARALLAX_KEYS: folder,
  PARALLAX_SECRET: Buffer.alloc(32, 7).toString('base64'),
  PARALLAX_PUBLIC_URL: 'http://127.0.0.1:1',
});

describe('parallax doctor hub', () => {
  test('a database that is there, with its schema, and a hub that does not run yet', async () => {
    const { code, of } = await examine(settings());
    expect(of('PostgreSQL')).toMatchObject([{ state: 'ok', seen: expect.stringMatching(/ms away$/) }]);
    expect(of('schema')).toMatchObject([{ state: 'ok' }]);
    expect(of('clock')).toMatchObject([{ state: 'ok' }]);
    expect(of('Kafka')).toMatchObject([{ state: 'ok', seen: expect.stringContaining('not used') }]);
    expect(of('address')).toMatchObject([{ state: 'warn', seen: expect.stringContaining('ECONNREFUSED') }]);
    expect(code).toBe(0);
  });

  test('a database without the schema', async () => {
    const { code, of } = await examine({ ...settings(), DATABASE_URL: empty.url });
    expect(of('schema')).toMatchObject([
      { state: 'warn', seen: expect.stringMatching(/^(\d+) of \1 migra/) },
    ]);
    expect(code).toBe(0);
  });

  test('settings that are missing are all told, and nothing else is tried', async () => {
    const { code, of } = await examine({});
    expect(code).toBe(1);
    expect(of('settings').map(({ seen }) => seen.split(' ')[0])).toEqual([
      'DATABASE_URL',
      'PARALLAX_KEYS',
      'PARALLAX_SECRET',
    ]);
    expect(of('PostgreSQL')).toEqual([]);
  });

  test('a database that refuses and a Kafka that is away fail, without a secret in what is said', async () => {
    const url = new URL(database.url);
    url.pathname = '/nowhere';
    const { code, out, of } = await examine({
      ...settings(),
      DATABASE_URL: url.href,
      KAFKA_BROKERS: '127.0.0.1:1',
    });
    expect(code).toBe(1);
    expect(of('PostgreSQL')).toMatchObject([{ state: 'fail', seen: expect.stringContaining('nowhere') }]);
    expect(of('Kafka')).toMatchObject([{ state: 'fail' }]);
    if (url.password !== '') expect(out).not.toContain(url.password);
  });
});
