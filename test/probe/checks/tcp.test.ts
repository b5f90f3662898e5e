// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${NAME} is what a step sends of what it captured
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import type { Observation } from '../../../shared/result.ts';
import { type Issued, issue } from './certificates.ts';
import { assignmentOf, checkOnce, policyOf, startChecker, type Wish } from './scene.ts';
import { becomeTls, onLines, startTcpServer, type TcpServer } from './tcp-server.ts';

let checker: Checker;
let authority: Issued;
let good: Issued;
const servers: TcpServer[] = [];

beforeAll(async () => {
  checker = await startChecker();
  authority = await issue({ name: 'Test authority', ca: true });
  good = await issue({ dns: ['localhost'], ips: ['127.0.0.1'] }, authority);
});
afterAll(async () => {
  await checker.close();
  await Promise.all(servers.map((server) => server.close()));
});

const summary = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();

async function serve(behave: (socket: Socket) => void, options: Parameters<typeof startTcpServer>[1] = {}) {
  const server = await startTcpServer(behave, options);
  servers.push(server);
  return server;
}

const quick = 500;
async function check(behave: (socket: Socket) => void, wish: Wish = {}): Promise<Observation> {
  const { port } = await serve(behave);
  return checkOnce(checker, `tcp://127.0.0.1:${port}`, { timeoutMs: quick, ...wish });
}

const says = (text: string | Buffer) => (socket: Socket) =>
  void socket.write(text, 'latin1' as BufferEncoding);
const ends = (text: string) => (socket: Socket) => void socket.end(text);
const echo = (socket: Socket) => void onLines(socket, (line) => void socket.write(`you said ${line}\r\n`));
const silent = () => undefined;
const flood = (part: string) => (socket: Socket) => {
  const more = () => {
    while (!socket.destroyed && socket.write(part));
  };
  socket.on('drain', more);
  more();
};
const drip = (part: string, everyMs: number) => (socket: Socket) => {
  const timer = setInterval(() => socket.write(part), everyMs);
  socket.once('close', () => clearInterval(timer));
};
const resets = (socket: Socket) => void socket.resetAndDestroy();

describe('servers, honest and not', () => {
  test.each<[string, (socket: Socket) => void, Wish, string]>([
    ['takes connections', silent, {}, 'up'],
    ['greets', says('220 hello\r\n'), { request: { steps: [{ expect: '^220 ' }] } }, 'up'],
    ['greets late', drip('220 hello\r\n', 50), { request: { steps: [{ expect: '^220 h' }] } }, 'up'],
    [
      'greets without an end of line',
      says('login: '),
      { request: { steps: [{ expect: 'login: $' }] } },
      'up',
    ],
    [
      'greets and is gone, without an end of line',
      ends('ok'),
      { request: { steps: [{ expect: '^ok$' }] } },
      'up',
    ],
    ['answers', echo, { request: { steps: [{ send: 'a\\n', expect: 'you said a$' }] } }, 'up'],
    [
      'answers twice',
      echo,
      { request: { steps: [{ send: 'a\\nb\\n', expect: 'a$' }, { expect: 'b$' }] } },
      'up',
    ],
    [
      'is slow',
      drip('ok\n', 40),
      { request: { steps: [{ expect: 'ok' }] }, expect: { slowerThan: '10ms' } },
      'degraded',
    ],
    [
      'says something else',
      says('500 no\r\n'),
      { request: { steps: [{ expect: '^220' }] } },
      'down expect.response',
    ],
    [
      'ends with something else',
      ends('500 no\r\n'),
      { request: { steps: [{ expect: '^220' }] } },
      'down expect.response',
    ],
    ['says nothing', silent, { request: { steps: [{ expect: '^220' }] } }, 'down wait.timeout'],
    [
      'says nothing more',
      says('a\n'),
      { request: { steps: [{ expect: 'a' }, { expect: 'b' }] } },
      'down body.timeout',
    ],
    ['ends at once', ends(''), { request: { steps: [{ expect: '^220' }] } }, 'down request.reset'],
    [
      'resets when asked',
      (socket) => void socket.once('data', () => resets(socket)),
      { request: { steps: [{ send: 'a', expect: '^220' }] } },
      'down request.reset',
    ],
    [
      'ends later',
      (socket) => void onLines(socket, () => socket.end('first\n')),
      {
        request: {
          steps: [
            { send: 'a\\n', expect: 'first' },
            { send: 'b\\n', expect: 'second' },
          ],
        },
      },
      'down expect.response',
    ],
    [
      'resets later',
      (socket) =>
        onLines(socket, () => {
          socket.write('first\n');
          setTimeout(resets, 40, socket);
        }),
      { request: { steps: [{ send: 'a\\n', expect: 'first' }, { expect: 'second' }] } },
      'down body.reset',
    ],
    [
      'floods lines',
      flood('no\n'.repeat(1000)),
      { request: { steps: [{ expect: '^yes$' }] } },
      'down expect.response',
    ],
    [
      'floods a line without end',
      flood('a'.repeat(5000)),
      { request: { steps: [{ expect: '^b' }] } },
      'down expect.response',
    ],
    [
      'floods bytes',
      flood('a'.repeat(5000)),
      { request: { steps: [{ expectHex: '62' }] } },
      'down expect.response',
    ],
    [
      'drips a line without end',
      drip('a', 3),
      { request: { steps: [{ expect: 'a+b' }] } },
      'down expect.response',
    ],
    ['drips lines', drip('a\n', 3), { request: { steps: [{ expect: 'a+b' }] } }, 'down expect.response'],
    [
      'sends bytes',
      says(Buffer.from('000102ff', 'hex')),
      { request: { steps: [{ expectHex: '02ff' }] } },
      'up',
    ],
    [
      'sends other bytes',
      says('abc'),
      { request: { steps: [{ expectHex: '02ff' }] } },
      'down expect.response',
    ],
    ['hangs on bytes', silent, { request: { steps: [{ expectHex: '02ff' }] } }, 'down wait.timeout'],
    ['has a banner', says('SSH-2.0-x\r\n'), { expect: { banner: { matches: ['^SSH-2'] } } }, 'up'],
    [
      'has another banner',
      says('HTTP\r\n'),
      { expect: { banner: { matches: ['^SSH-2'] } } },
      'down expect.response',
    ],
    [
      'has a wrong banner',
      says('SSH-1.9\r\n'),
      { expect: { banner: { notMatches: ['^SSH-1\\.9'] } } },
      'down expect.response',
    ],
    ['has no banner', silent, { expect: { banner: { matches: ['^SSH-2'] } } }, 'down wait.timeout'],
    ['has a banner without an end', says('SSH-2'), { expect: { banner: { matches: ['^SSH-2$'] } } }, 'up'],
    [
      'has a banner that steps read too',
      says('220 one\r\n'),
      { request: { steps: [{ expect: '^220 one' }] }, expect: { banner: { matches: ['one'] } } },
      'up',
    ],
    ['is plain', silent, { expect: { tls: 'required' } }, 'down expect.tls'],
    ['is plain, as it should be', silent, { expect: { tls: 'forbidden' } }, 'up'],
    [
      'is plain where TLS is spoken',
      says('220 hello\r\n'),
      { request: { secure: true } },
      'down tls.handshake',
    ],
    ['says nothing where TLS is spoken', silent, { request: { secure: true } }, 'down tls.timeout'],
    [
      'is asked by lookaround',
      says('foobar\n'),
      { request: { steps: [{ expect: { pattern: 'foo(?=bar)', engine: 'ecmascript' } }] } },
      'up',
    ],
    [
      'has a pattern run wild',
      says(`${'a'.repeat(40)}!\n`),
      { timeoutMs: 4000, request: { steps: [{ expect: { pattern: '^(a+)+$', engine: 'ecmascript' } }] } },
      'skipped probe.saturated',
    ],
  ])('one that %s', async (_, behave, wish, expected) => {
    const seen = await check(behave, wish);
    expect(summary(seen), JSON.stringify(seen)).toBe(expected);
    if (!wish.timeoutMs) expect(seen.timings.total).toBeLessThan((quick + 250) * 1000);
    expect(seen.bytes).toBeLessThan(300_000);
    expect(seen.status).toBeNull();
  });

  test('one that does not take a connection', async () => {
    const server = await startTcpServer(silent);
    await server.close();
    const seen = await checkOnce(checker, `tcp://127.0.0.1:${server.port}`);
    expect(summary(seen)).toBe('down connect.refused');
    expect(seen.timings.wait).toBeNull();
  });

  test('one that does not read what it is sent', async () => {
    const step = { send: 'a'.repeat(60_000) };
    const seen = await check((socket) => socket.pause(), {
      request: { steps: [...Array.from({ length: 19 }, () => step), { expect: 'x' }] },
    });
    expect(summary(seen)).toBe('down wait.timeout');
  });
});

describe('captures', () => {
  test('go into what is sent later, by number and by name', async () => {
    const server = await serve((socket) => {
      socket.write('220 host.test hello\r\n');
      onLines(socket, (line) => {
        if (line.startsWith('first')) socket.write('PING :abc-1\n');
        else socket.write(`got ${line}\n`);
      });
    });
    const steps = [
      { expect: '^220 (?P<host>[^ ]+) (h.*)$' },
      { send: 'first ${host} ${2}\\r\\n', expect: '^PING :([a-z]+)-(\\d)' },
      { send: 'PONG ${1}${2} ${host}\\x21\\n', expect: '^got PONG abc1 host.test!$' },
    ];
    const seen = await checkOnce(checker, `tcp://127.0.0.1:${server.port}`, { request: { steps } });
    expect(summary(seen), JSON.stringify(seen)).toBe('up');
    expect(server.heard()).toBe('first host.test hello\r\nPONG abc1 host.test!\n');
    expect(seen.facts).toMatchObject({
      banner: '220 host.test hello',
      captures: { host: 'host.test', 'step 2.1': 'abc', 'step 2.2': '1' },
    });
    expect(seen.facts?.stepsMs).toHaveLength(3);
  });

  test('a probe’s own value is sent as it is, whatever is in it', async () => {
    const own = await startChecker({ env: { WORD: 'a\\n${1}$b' } });
    const server = await serve(echo);
    const steps = [{ send: '${probe:WORD}\\r\\n', expect: '^you said' }];
    const seen = await checkOnce(own, `tcp://127.0.0.1:${server.port}`, { request: { steps } });
    await own.close();
    expect(summary(seen)).toBe('up');
    expect(server.heard()).toBe('a\\n${1}$b\r\n');
  });

  test('a value that this probe does not have is the probe’s own matter, and nothing is dialled', async () => {
    const server = await serve(echo);
    const steps = [{ send: '${probe:NONE}' }];
    const seen = await checkOnce(checker, `tcp://127.0.0.1:${server.port}`, { request: { steps } });
    expect(summary(seen)).toBe('skipped probe.internal');
    expect(server.connections()).toBe(0);
  });
});

describe('what is told of a stranger’s words', () => {
  test('is on one line, short and escaped', async () => {
    const { facts } = await check(says(`220 \x1b[31m\u202e${'x'.repeat(500)}\r\n`), {
      request: { steps: [{ expect: '^220' }] },
    });
    expect(facts?.banner).toMatch(/^220 \\x1b\[31m/);
    expect(Buffer.byteLength(String(facts?.banner))).toBeLessThanOrEqual(200);
  });

  test('never what was sent: an echo is masked', async () => {
    const steps = [
      { send: 'LOGIN ann ${probe:SECRET}\\r\\n', expect: 'said (.*)' },
      { send: 'x\\n', expect: '^never$' },
    ];
    const { facts, failure } = await check(echo, { request: { steps } });
    expect(failure?.code).toBe('expect.response');
    expect(JSON.stringify([facts, failure])).not.toContain('s3cret');
    expect(facts).toMatchObject({ captures: { 'step 1.1': '*** ann ***' }, lastLine: 'you said x' });
  });

  test('nothing, where that is asked for', async () => {
    const steps = [{ expect: '^220 (.*)' }, { expect: 'never' }];
    const { facts } = await check(ends('220 hello\r\n'), { request: { steps, recordText: false } });
    expect(JSON.stringify(facts)).not.toContain('hello');
    expect(Object.keys(facts ?? {})).toEqual(['stepsMs']);
  });
});

describe('TLS', () => {
  const pair = () => ({ cert: good.cert, key: good.key });
  const trusts = () => ({ tls: { ca: authority.cert } });

  test('from the first byte', async () => {
    const { port } = await serve(says('+OK ready\r\n'), { tls: pair() });
    const url = `tcp://127.0.0.1:${port}`;
    const request = { secure: true, steps: [{ expect: '^\\+OK' }], ...trusts() };
    const seen = await checkOnce(checker, url, { request, expect: { tls: 'required' } });
    expect(summary(seen), JSON.stringify(seen)).toBe('up');
    expect(seen.tls?.version).toBe('TLSv1.3');
    expect(seen.facts?.banner).toBe('+OK ready');
    expect(seen.timings.tls).toBeGreaterThan(0);
    expect(summary(await checkOnce(checker, url, { request: { secure: true } }))).toBe('down tls.untrusted');
    expect(summary(await checkOnce(checker, url, { request, expect: { tls: 'forbidden' } }))).toBe(
      'down expect.tls',
    );
    expect(summary(await checkOnce(checker, url, { request, expect: { certDays: 100 } }))).toBe(
      'degraded expect.cert',
    );
  });

  const upgrading = (after: string) => (socket: Socket) => {
    socket.write('hello\r\n');
    onLines(socket, (line) => {
      if (line !== 'UPGRADE') return;
      socket.write(`GO${after}`);
      becomeTls(socket, pair(), (secured) =>
        onLines(secured, (said) => void secured.write(`safe ${said}\r\n`)),
      );
    });
  };
  const steps = [
    { expect: '^hello' },
    { send: 'UPGRADE\\r\\n', expect: '^GO', starttls: true },
    { send: 'word\\r\\n', expect: '^safe word$' },
  ];

  test('by a step', async () => {
    const seen = await check(upgrading('\r\n'), { request: { steps, ...trusts() }, timeoutMs: 2000 });
    expect(summary(seen), JSON.stringify(seen)).toBe('up');
    expect(seen.tls?.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    // hello, GO, and what came over TLS.
    expect(seen.bytes).toBe(7 + 4 + 11);
    expect(seen.timings.transfer).toBeGreaterThan(0);
  });

  test('a client certificate that is wanted and not there is said so, though TLS 1.3 says it late', async () => {
    const { port } = await serve(silent, { tls: { ...pair(), requestCert: true, ca: authority.cert } });
    const request = { secure: true, steps: [{ expect: 'a' }], ...trusts() };
    const seen = await checkOnce(checker, `tcp://127.0.0.1:${port}`, { request });
    expect(summary(seen), JSON.stringify(seen)).toMatch(/^down (tls.client|tls.handshake|request.reset)$/);
  });

  test('by a step, with words put in before it', async () => {
    const seen = await check(upgrading('\r\nsafe word\r\n'), { request: { steps, ...trusts() } });
    expect(summary(seen)).toBe('down protocol.invalid');
    expect(seen.tls).toBeNull();
  });
});

describe('target safety', () => {
  test.each<[string, object, string]>([
    ['tcp://10.0.0.1:80', {}, 'skipped policy.blocked'],
    ['tcp://169.254.169.254:80', {}, 'skipped policy.blocked'],
    ['tcp://[::ffff:10.0.0.1]:80', {}, 'skipped policy.blocked'],
    ['tcp://0x7f.1:80', {}, 'skipped policy.blocked'],
    ['tcp://localhost:80', {}, 'skipped policy.blocked'],
    ['tcp://hub.parallax.test:8443', { resolveTo: '198.51.100.7' }, 'skipped policy.blocked'],
    ['tcp://shop.example:80', { resolveTo: '10.0.0.1' }, 'skipped policy.blocked'],
    ['tcp://198.51.100.7:25', {}, 'skipped policy.blocked'],
    ['tcp://198.51.100.7:25', { starttls: 'smtp' }, 'skipped policy.blocked'],
    ['tls://10.0.0.1', {}, 'skipped policy.blocked'],
    ['tls://198.51.100.7', { starttls: 'smtp' }, 'skipped policy.blocked'],
  ])('%s with %j: nothing is dialled', async (url, request, expected) => {
    const dialled: string[] = [];
    const strict = await startChecker({
      policy: policyOf(),
      openSocket: (address, port) => {
        dialled.push(`${address}:${port}`);
        throw new Error('dialled');
      },
    });
    const seen = await checkOnce(strict, url, { request });
    await strict.close();
    expect(summary(seen), JSON.stringify(seen)).toBe(expected);
    expect(dialled).toEqual([]);
  });

  test('a stop ends a check that waits', async () => {
    const { port } = await serve(silent);
    const stop = new AbortController();
    const wish = { request: { steps: [{ expect: 'a' }] }, timeoutMs: 20_000 };
    const seen = checker.check(assignmentOf(`tcp://127.0.0.1:${port}`, wish), stop.signal);
    setTimeout(() => stop.abort(), 30);
    expect(summary(await seen)).toBe('skipped probe.internal');
  });
});
