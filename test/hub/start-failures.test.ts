import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../../hub/process/port.ts';
import { openDatabase } from '../../hub/store/database.ts';
import { reachDatabase, whereOf } from '../../hub/store/reach-database.ts';
import { type TestDatabase, testDatabase } from '../harness/postgres.ts';
import { type CliRun, runCli } from './cli-scene.ts';
import { until } from './ingest/until.ts';

const secret = 'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=';
let database: TestDatabase;
let folder: string;
let env: Record<string, string>;
let argv: string[];

beforeEach(async () => {
  database = await testDatabase();
  folder = await mkdtemp(join(tmpdir(), 'parallax-start-'));
  argv = ['hub', '--listen', `127.0.0.1:${await freePort()}`];
  env = {
    DATABASE_URL: database.url,
    PARALLAX_KEYS: join(folder, 'keys'),
    PARALLAX_SECRET: secret,
    LOG_LEVEL: 'silent',
  };
});
afterEach(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

/** The last thing said is one line, and nothing is left running: a second hub could start at once. */
function expectOneLine({ code, err }: CliRun, says: RegExp, exitCode = 1): void {
  expect(err).toMatch(/^(waiting for .*\n)*parallax: [^\n]+\n$/);
  expect(err).toMatch(says);
  expect(code).toBe(exitCode);
  expect(err).not.toMatch(/ {4}at |hunter2|MDEyMzQ1/);
}

const withUrl = (change: (url: URL) => void) => {
  const url = new URL(database.url);
  change(url);
  return { ...env, DATABASE_URL: url.href };
};

describe('a hub that cannot start says why in one line', () => {
  test('a password that is wrong', async () => {
    const wrong = withUrl((url) => {
      url.password = 'hunter2';
    });
    expectOneLine(
      await runCli(argv, wrong),
      /PostgreSQL at 127\.0\.0\.1:\d+ does not let us in .*: correct DATABASE_URL/,
    );
  });

  test('a database that there is not', async () => {
    const wrong = withUrl((url) => {
      url.pathname = '/nowhere';
    });
    expectOneLine(
      await runCli(argv, wrong),
      /database "nowhere" does not exist: create it, or correct DATABASE_URL/,
    );
  });

  test('a schema that is newer', async () => {
    const db = openDatabase({ url: database.url });
    await db.run(
      `insert into schema_migrations (version, name, checksum) select max(version) + 1, 'future', 'x' from schema_migrations`,
    );
    await db.end();
    expectOneLine(await runCli(argv, env), /schema is at \d+ \(future\).*run the newer Parallax/);
  });

  test('a schema that is older, where it may not be brought up', async () => {
    const empty = await testDatabase({ empty: true });
    const result = await runCli([...argv, '--no-migrate'], { ...env, DATABASE_URL: empty.url });
    expectOneLine(result, /schema is at 0, .*run `parallax migrate up`, or start without --no-migrate/);
    await empty.drop();
  });

  test('a port that is taken', async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as { port: number };
    const result = await runCli(['hub', '--listen', `127.0.0.1:${port}`], env);
    expectOneLine(
      result,
      new RegExp(`port ${port} on 127.0.0.1 is in use: .* --listen 127.0.0.1:${port + 1}`),
    );
    server.close();
  });

  test('an address that this machine does not have', async () => {
    const result = await runCli(['hub', '--listen', '192.0.2.1:7070'], {
      ...env,
      PARALLAX_PUBLIC_URL: 'http://192.0.2.1:7070',
    });
    expectOneLine(result, /--listen 192\.0\.2\.1:7070: this machine has no such address/);
  });

  test('keys that others can read', async () => {
    expect((await startAndStop()).code).toBe(0);
    for (const file of await readdir(join(folder, 'keys'))) await chmod(join(folder, 'keys', file), 0o644);
    expectOneLine(await runCli(argv, env), /keys/);
  });

  test('keys that are damaged', async () => {
    expect((await startAndStop()).code).toBe(0);
    for (const file of await readdir(join(folder, 'keys')))
      await writeFile(join(folder, 'keys', file), '{"half":');
    expectOneLine(await runCli(argv, env), /keys/);
  });

  test('a folder for keys that is a file', async () => {
    await writeFile(join(folder, 'file'), 'x');
    expectOneLine(await runCli(argv, { ...env, PARALLAX_KEYS: join(folder, 'file', 'keys') }), /file/);
  });

  test('another secret than the one that sealed what is there', async () => {
    expect((await startAndStop()).code).toBe(0);
    const db = openDatabase({ url: database.url });
    await db.run(
      `insert into endpoints (name, rev, spec, sealed, source, changed_at, mac)
       values ('x', 1, '{}', '{"request.bearer": "…"}', 'test', now(), '')`,
    );
    await db.end();
    const other = { ...env, PARALLAX_SECRET: 'ab'.repeat(32) };
    expectOneLine(await runCli(argv, other), /PARALLAX_SECRET/);
  });

  test('a certificate that is none', async () => {
    await mkdir(join(folder, 'tls'));
    const [cert, key] = [join(folder, 'tls/a.crt'), join(folder, 'tls/a.key')];
    await writeFile(cert, 'x');
    await writeFile(key, 'x');
    expectOneLine(
      await runCli([...argv, '--tls-cert', cert, '--tls-key', key], env),
      /a\.crt holds no certificate in PEM/,
    );
    expectOneLine(
      await runCli([...argv, '--tls-cert', '/no/a.crt', '--tls-key', key], env),
      /--tls-cert \/no\/a\.crt: there is no such file/,
    );
  });

  test('settings that are wrong end with 2', async () => {
    const { code, err } = await runCli(['hub', '--listen', 'x'], { ...env, DATABASE_URL: 'x' });
    expect(code).toBe(2);
    expect(err).toMatch(/^parallax: 2 settings are wrong:\n {2}--listen: .*\n {2}DATABASE_URL: .*\n/);
    expect((await runCli(['hub', '--lisen', 'x'], env)).code).toBe(2);
  });
});

/** Starts and, once it is running and (at a first start) has shown the sign-in link, stops it. */
async function startAndStop(isFirst = true): Promise<CliRun> {
  const stop = new AbortController();
  const running = runCli(
    argv,
    { ...env, LOG_LEVEL: 'info' },
    {
      signal: stop.signal,
      onOut: (text) => {
        if (!isFirst && text.includes('the hub is running')) setTimeout(() => stop.abort(), 50);
      },
      onErr: (text) => {
        if (isFirst && text.includes('sign-in#')) stop.abort();
      },
    },
  );
  return running;
}

describe('a hub that runs', () => {
  test('starts again on what it left, prints the sign-in link once, and ends quickly', async () => {
    const first = await startAndStop();
    expect([first.code, first.err.match(/sign-in#/g)?.length]).toEqual([0, 1]);
    expect(first.err).toContain('works once, for 15 minutes');
    const beganMs = performance.now();
    const second = await startAndStop(false);
    expect([second.code, second.err.includes('sign-in#')]).toEqual([0, false]);
    expect(performance.now() - beganMs).toBeLessThan(10_000);
    expect(
      second.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).msg)
        .at(-1),
    ).toBe('stopped');
  });

  test('is stopped in the middle of its start', async () => {
    for (const afterMs of [0, 5, 50, 150]) {
      const stop = new AbortController();
      setTimeout(() => stop.abort(), afterMs);
      expect((await runCli(argv, env, { signal: stop.signal })).code).toBe(0);
    }
    expect((await startAndStop(false)).code).toBe(0);
  });
});

describe('Kafka that is away', () => {
  test('keeps no hub from starting: it says so, and /readyz why', async () => {
    const stop = new AbortController();
    const brokers = `127.0.0.1:${await freePort()}`;
    let out = '';
    const running = runCli(
      argv,
      { ...env, LOG_LEVEL: 'info', KAFKA_BROKERS: brokers },
      {
        signal: stop.signal,
        onOut: (text) => {
          out += text;
        },
      },
    );
    await until(() => out.includes('the hub is running'), 40_000);
    const at = `http://${argv[2]}`;
    expect((await fetch(`${at}/healthz`)).status).toBe(200);
    await until(async () => (await (await fetch(`${at}/readyz`)).text()).includes('ECONNREFUSED'), 30_000);
    const answer = await fetch(`${at}/readyz`);
    expect([answer.status, await answer.json()]).toEqual([
      503,
      {
        status: expect.any(String),
        missing: [{ what: 'bus', why: expect.stringContaining('ECONNREFUSED') }],
      },
    ]);
    stop.abort();
    const { code, err } = await running;
    expect(code).toBe(0);
    expect(err).toMatch(
      new RegExp(`^Kafka at ${brokers}: .*ECONNREFUSED.*; the hub starts without it and tries on\n`),
    );
  }, 90_000);
});

describe('a database that is away', () => {
  test('is waited for, with a line now and then, and then used', async () => {
    const port = await freePort();
    const url = withUrl((url) => {
      url.port = String(port);
    }).DATABASE_URL;
    const real = new URL(database.url);
    const said: string[] = [];
    const db = openDatabase({ url });
    const reached = reachDatabase(db, {
      url,
      say: (line) => void said.push(line),
      signal: AbortSignal.timeout(30_000),
      everyMs: 100,
    });
    await until(() => said.length >= 2);
    expect(said[0]).toBe(
      `waiting for PostgreSQL at 127.0.0.1:${port} (connect ECONNREFUSED 127.0.0.1:${port})`,
    );
    const proxy = createServer((from) => {
      const to = connect(Number(real.port), real.hostname);
      from.pipe(to).pipe(from);
      for (const socket of [from, to]) socket.on('error', () => socket.destroy());
    });
    await new Promise<void>((done) => proxy.listen(port, '127.0.0.1', done));
    await reached;
    expect(await db.one('select 1 as one')).toEqual({ one: 1 });
    await db.end();
    proxy.close();
  });

  test('is not what listens there', async () => {
    const server: Server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const url = `postgresql://p:hunter2@127.0.0.1:${(server.address() as AddressInfo).port}/p`;
    const db = openDatabase({ url });
    const signal = AbortSignal.timeout(30_000);
    const waiting = reachDatabase(db, { url, say: () => undefined, signal, withinMs: 300, everyMs: 50 });
    await expect(waiting).rejects.toThrow(/^PostgreSQL at 127\.0\.0\.1:\d+[^\n]*correct DATABASE_URL$/);
    await db.end();
    server.close();
  });

  test('is given up after a while, in one line', async () => {
    const url = `postgresql://p:hunter2@127.0.0.1:${await freePort()}/p`;
    const db = openDatabase({ url });
    const waiting = reachDatabase(db, {
      url,
      say: () => undefined,
      signal: AbortSignal.timeout(30_000),
      withinMs: 300,
      everyMs: 50,
    });
    await expect(waiting).rejects.toThrow(
      /^PostgreSQL at 127\.0\.0\.1:\d+ could not be reached for 0 s \(connect ECONNREFUSED .*\): start it/,
    );
    await db.end();
  });

  test.each([
    ['postgresql://u:p@db.example/x', 'db.example:5432'],
    ['postgresql://u:p@[::1]:5433/x', '[::1]:5433'],
    ['postgresql:///x?host=/run/postgresql', '/run/postgresql'],
    ['postgresql:///x', 'localhost:5432'],
  ])('%s is at %s', (url, where) => {
    expect(whereOf(url)).toBe(where);
  });
});
