import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkCommand } from '../../../probe/cli/check.ts';
import { drawResult } from '../../../probe/cli/waterfall.ts';
import { runCommandLine, type Terminal } from '../../../shared/command-line.ts';
import { failure } from '../../../shared/failure.ts';
import type { Observation } from '../../../shared/result.ts';
import { startDnsServer } from '../checks/dns-server.ts';
import { type RawServer, says, startRawServer, whole } from '../checks/servers.ts';

let site: RawServer;
let folder = '';

beforeAll(async () => {
  site = await startRawServer(says(whole('the fox')));
  folder = await mkdtemp(join(tmpdir(), 'parallax-check-'));
});
afterAll(async () => {
  await site.close();
  await rm(folder, { recursive: true });
});

async function run(
  argv: readonly string[],
  over: { columns?: number; signal?: AbortSignal; openSocket?: () => Socket } = {},
) {
  let [out, err] = ['', ''];
  const terminal: Terminal = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    columns: over.columns ?? null,
    colour: false,
  };
  const signal = over.signal ?? new AbortController().signal;
  const context = { env: { NAME: 'fox' }, cwd: folder, terminal, signal };
  const code = await runCommandLine(
    checkCommand(context, over.openSocket && { openSocket: over.openSocket }),
    argv,
    terminal,
  );
  return { code, out, err };
}

const allow = ['--allow-network', '127.0.0.0/8'];

describe('parallax check', () => {
  test('a URL that is up', async () => {
    const { code, out, err } = await run([`http://127.0.0.1:${site.port}/x?token=secret`, ...allow], {
      columns: 80,
    });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(
      /^up +http:\/\/127\.0\.0\.1:\d+\/x\?…\n {2}HTTP\/1\.1 200, from 127\.0\.0\.1, 7 bytes\n/,
    );
    expect(out).toMatch(/\n {2}connect .*[█▏▎▍▌▋▊▉].* \d/);
    expect(out).toMatch(/\n {2}total .*ms\n$/);
    expect(out).not.toContain('secret');
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  test('one that is down ends with 1, and says why', async () => {
    const { code, out } = await run(['http://127.0.0.1:1/', ...allow]);
    expect(code).toBe(1);
    expect(out).toMatch(/^down .*\n {2}connect\.refused: 127\.0\.0\.1:1 refused/);
  });

  test('a private address explains --allow-network', async () => {
    const { code, out } = await run([`http://127.0.0.1:${site.port}/`]);
    expect(code).toBe(1);
    expect(out).toMatch(/policy\.blocked: .*only with --allow-network 127\.0\.0\.1/);
  });

  test('a file of more pages of one site than a probe would open in a second', async () => {
    const endpoints = Array.from({ length: 130 }, (_, n) => ({
      name: `page-${n}`,
      url: `http://shop.test:${site.port}/${n}`,
      request: { resolveTo: '192.0.2.7' },
    }));
    await writeFile(join(folder, 'pages.json'), JSON.stringify({ endpoints }));
    // No machine has that address: the connections are made to the site all the same.
    const openSocket = () => {
      const socket = connect({ host: '127.0.0.1', port: site.port });
      Object.defineProperty(socket, 'remoteAddress', { value: '192.0.2.7' });
      return socket;
    };
    const { code, out } = await run(['--spec', 'pages.json', '--json', '--allow-network', '192.0.2.0/24'], {
      openSocket,
    });
    expect(out).not.toContain('probe.saturated');
    expect([code, out.split('\n').length]).toEqual([0, 131]);
  });

  test('a file of several, one JSON object a line in the order of the file', async () => {
    const endpoints = [
      ...[1, 2, 3, 4, 5, 6].map((n) => ({ name: `good-${n}`, url: `http://127.0.0.1:${site.port}/${n}` })),
      {
        name: 'env',
        url: `http://127.0.0.1:${site.port}/`,
        request: { bearer: `$${'{env:NAME}'}` },
      },
      { name: 'bad', url: `http://127.0.0.1:${site.port}/`, expect: { status: ['404'] } },
      { name: 'off', enabled: false, url: 'http://127.0.0.1:1/' },
    ];
    await writeFile(join(folder, 'spec.json'), JSON.stringify({ endpoints }));
    const { code, out, err } = await run(['--spec', 'spec.json', '--json', ...allow]);
    expect(code).toBe(1);
    expect(err).toBe('left out, since not enabled: 1\n');
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string; outcome: string });
    expect(lines.map(({ name }) => name)).toEqual(endpoints.slice(0, -1).map(({ name }) => name));
    expect(lines.filter(({ outcome }) => outcome !== 'up')).toMatchObject([
      { name: 'bad', failure: { code: 'expect.status' } },
    ]);
  });

  test('another resolver', async () => {
    const dns = await startDnsServer((_, type) => (type === 'A' ? ['127.0.0.1'] : []));
    const { code } = await run([`http://shop.test:${site.port}/`, '--resolver', dns.address, ...allow]);
    expect(code).toBe(0);
    expect(dns.asked).toContain('A shop.test');
    await dns.close();
  });

  test.each<[string[], RegExp]>([
    [[], /name a URL, or a file/],
    [['http://a/', '--spec', 'x'], /one of the two/],
    [['--spec', 'gone.yaml'], /there is no file gone.yaml/],
    [['ftp://a/'], /scheme 'ftp'/],
    [['http://u:p@a/'], /basicAuth/],
    [['http://a/', '--timeout', '3'], /--timeout: '3' is not a duration/],
    [['http://a/', '--resolver', 'dns.test'], /--resolver dns.test/],
    [['http://a/', '--resolver', '1.1.1.1:99999'], /--resolver/],
    [['http://a/', '--allow-network', '10.x'], /--allow-network: '10.x' is not a network/],
    [['http://a/', '--jsn'], /unknown option/],
  ])('%j is wrong usage', async (argv, says) => {
    const { code, err, out } = await run(argv);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(says);
  });

  test('a file with faults names each by its place', async () => {
    await writeFile(
      join(folder, 'faulty.yaml'),
      'endpoints:\n  - name: a\n    url: http://a/\n    intervall: 3s\n',
    );
    const { code, err } = await run(['--spec', 'faulty.yaml']);
    expect(code).toBe(2);
    expect(err).toMatch(/faulty\.yaml:4:\d+: endpoints\[0\]\.intervall: .*did you mean 'interval'/);
  });

  test('what was seen of a failure, with secrets masked', async () => {
    const broken = await startRawServer((socket) =>
      socket.end('HTTP/1.1 502 Bad\r\nserver: nginx\r\ncontent-length: 15\r\n\r\nopen with s3sam\n'),
    );
    await writeFile(
      join(folder, 'broken.yaml'),
      `endpoints:
  - name: broken
    url: http://127.0.0.1:${broken.port}/?token=s3sam
    request: {bearer: s3sam}
    evidence: {body: true, trace: true}
`,
    );
    const { code, out } = await run(['--spec', 'broken.yaml', '--evidence', ...allow]);
    expect(code).toBe(1);
    expect(out).toContain(`  > GET http://127.0.0.1:${broken.port}/?token=•••\n`);
    expect(out).toContain('  > authorization: •••\n');
    expect(out).toContain('  < 502\n  < server: nginx\n');
    expect(out).toContain('  open with •••');
    expect(out).not.toContain('s3sam');
    const traceId = broken.asked[0]?.headers.traceparent?.slice(3, 35);
    expect(out).toContain(`trace id ${traceId}`);
    const { out: json } = await run(['--spec', 'broken.yaml', '--evidence', '--json', ...allow]);
    expect(JSON.parse(json)).toMatchObject({ evidence: { response: { status: 502 } } });
    await broken.close();
  });

  test('Ctrl-C ends it', async () => {
    const silent = await startRawServer(() => undefined);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 50);
    const { code } = await run([`http://127.0.0.1:${silent.port}/`, ...allow], { signal: stop.signal });
    expect(code).toBe(1);
    await silent.close();
  });
});

describe('the waterfall', () => {
  const seen: Observation = {
    outcome: 'down',
    failure: failure('expect.header', 'the header \u001b[31mx is missing'),
    status: 200,
    httpVersion: '1.1',
    remoteIp: '192.0.2.1',
    redirects: 2,
    timings: { dns: 12_000, connect: 900, tls: 31_000, wait: 55_000, transfer: 1_100, total: 100_000 },
    bytes: 512,
    truncated: true,
    facts: null,
    evidence: null,
    tls: {
      version: 'TLSv1.3',
      cipher: 'x',
      notAfter: 1_800_000_000,
      issuer: 'CN=\u202eevil',
      fingerprint: 'ab',
    },
  };
  const draw = (columns: number | null, over: Partial<Observation> = {}) =>
    drawResult(
      { out: () => undefined, err: () => undefined, columns, colour: false },
      'shop  https://shop.test/',
      { ...seen, ...over },
      1_799_000_000_000,
    );

  test('as it is drawn in 60 columns', () => {
    expect(draw(60)).toBe(
      [
        'down     shop  https://shop.test/',
        '  expect.header: the header \ufffd[31mx is missing',
        '  HTTP/1.1 200, from 192.0.2.1, 512 bytes and more, after 2…',
        '  TLSv1.3, certificate until 2027-01-15 (11 days) by CN=\ufffdev…',
        '  dns       ████▍                                    12.0 ms',
        '  connect       ▍                                     900 µs',
        '  tls           ███████████▏                         31.0 ms',
        '  wait                     ███████████████████▊      55.0 ms',
        '  transfer                                     ▍      1.1 ms',
        '  total                                               100 ms',
        '',
      ].join('\n'),
    );
  });

  test.each([20, 24, 30, 40, 80, 200])('fits %d columns', (columns) => {
    const lines = draw(columns, { failure: null, outcome: 'up' }).split('\n');
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(Math.max(columns, 24));
  });

  test('what only its protocol tells stands below, made safe', () => {
    const lines = draw(60, {
      facts: { lossPercent: 20, answers: ['A 192.0.2.1', 'TXT \u001b[31mred and so on and on'] },
    }).split('\n');
    expect(lines.slice(4, 7)).toEqual([
      '  loss 20%',
      '  answers  A 192.0.2.1',
      '           TXT \ufffd[31mred and so on and on',
    ]);
    const grpc = draw(60, { facts: { grpcStatus: 'OK', health: 'SERVING' }, status: 0, httpVersion: '2' });
    expect(grpc).toContain('\n  from 192.0.2.1, 512 bytes and more');
    expect(grpc).toContain('\n  grpc status OK, health SERVING\n');
  });

  test('phases that were not reached are not drawn', () => {
    const timings = { dns: 3000, connect: null, tls: null, wait: null, transfer: null, total: 3000 };
    expect(
      draw(60, { timings, tls: null, status: null, bytes: 0, remoteIp: null, redirects: 0 }).split('\n'),
    ).toHaveLength(5);
  });
});
