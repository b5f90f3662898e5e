import { createSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import * as dnsPacket from 'dns-packet';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { openSocket } from '../../../probe/checks/dial.ts';
import { openDatagram } from '../../../probe/checks/dns-datagram.ts';
import { failureTable } from '../../../shared/failure.ts';
import type { Observation } from '../../../shared/result.ts';
import { issue } from './certificates.ts';
import {
  type AskedDatagram,
  answerTo,
  type DnsLies,
  framed,
  type LyingDns,
  startLyingDns,
  withFlags,
} from './lying-dns.ts';
import { assignmentOf, checkOnce, policyOf, startChecker, type Wish } from './scene.ts';

let checker: Checker;
let server: LyingDns;
let lies: DnsLies = {};

beforeAll(async () => {
  checker = await startChecker();
  server = await startLyingDns(() => lies);
});
afterAll(async () => {
  await checker.close();
  await server.close();
});
afterEach(() => {
  lies = {};
  server.asked.length = 0;
});

const timeoutMs = 400;

async function run(wish: Wish = {}, question = 'shop.test?type=A'): Promise<Observation> {
  const seen = await checkOnce(checker, `dns://127.0.0.1:${server.port}/${question}`, { timeoutMs, ...wish });
  const { timings, failure, outcome } = seen;
  expect(timings.total).toBeLessThan(((wish.timeoutMs ?? timeoutMs) + 300) * 1000);
  const phases = [timings.dns, timings.connect, timings.tls, timings.wait, timings.transfer];
  expect(phases.reduce<number>((sum, us) => sum + (us ?? 0), 0)).toBeLessThanOrEqual(timings.total + 10);
  if (failure) {
    expect(outcome).toBe(failureTable[failure.code].outcome);
    expect(Buffer.byteLength(failure.message)).toBeLessThanOrEqual(200);
  }
  expect(seen.status).toBeNull();
  return seen;
}

const good = ({ query, send }: AskedDatagram) => send(answerTo(query));
const says =
  (over: object) =>
  ({ query, send }: AskedDatagram) =>
    send(answerTo(query, over));
const records = (type: string, ...datas: readonly unknown[]) => ({
  answers: datas.map((data) => ({ name: 'shop.test', type, ttl: 300, data })),
});

describe('answers that are good', () => {
  test('what it tells of one', async () => {
    lies = { datagram: good };
    const seen = await run();
    expect(seen).toMatchObject({
      outcome: 'up',
      failure: null,
      remoteIp: '127.0.0.1',
      bytes: 52,
      facts: {
        server: `127.0.0.1:${server.port}`,
        transport: 'udp',
        rcode: 'NOERROR',
        flags: [],
        ttlSeconds: 300,
        answerCount: 1,
        answers: ['A 192.0.2.1'],
      },
    });
    expect(seen.timings).toMatchObject({ dns: null, connect: null, tls: null, transfer: null });
    expect(seen.timings.wait).toBeGreaterThan(0);
    expect(server.asked).toEqual(['udp shop.test A']);
  });

  test('each question has an id, a port and letters of its own', async () => {
    const seen: { id: number; port: number; name: string }[] = [];
    lies = {
      datagram: ({ query, from, send }) => {
        seen.push({ id: query.readUInt16BE(0), port: from.port, name: query.toString('latin1', 13, 33) });
        send(answerTo(query));
      },
    };
    for (let left = 8; left > 0; left -= 1) await run({}, 'a-name-with-letters.test?type=A');
    for (const what of ['id', 'port', 'name'] as const)
      expect(new Set(seen.map((one) => one[what])).size).toBeGreaterThan(6);
  });

  test('two answers are one', async () => {
    lies = {
      datagram: ({ query, send }) => {
        send(answerTo(query));
        send(answerTo(query, { answers: [] }));
      },
    };
    expect(await run()).toMatchObject({ outcome: 'up' });
  });

  test('a lost question is asked again, and an answer to the first is as good', async () => {
    let first: AskedDatagram | null = null;
    lies = {
      datagram: (asked) => {
        if (first) first.send(answerTo(first.query));
        first ??= asked;
      },
    };
    expect(await run()).toMatchObject({ outcome: 'up', facts: { tries: 2 } });
  });

  test('what does not fit is asked for over TCP', async () => {
    lies = {
      datagram: ({ query, send }) =>
        send(withFlags(answerTo(query, { answers: [] }), (flags) => flags | 0x0200)),
      stream: (query, socket) => socket.write(framed(answerTo(query))),
    };
    const seen = await run();
    expect(seen).toMatchObject({
      outcome: 'up',
      facts: { transport: 'tcp', truncated: true, answerCount: 1 },
    });
    expect(seen.timings.connect).toBeGreaterThan(0);
    expect(server.asked).toEqual(['udp shop.test A', 'tcp shop.test A']);
  });

  test('a server that loses the case of letters is asked over TCP', async () => {
    lies = {
      datagram: ({ query, send }) => send(answerTo(lowerCase(query))),
      stream: (query, socket) => socket.write(framed(answerTo(query))),
    };
    const seen = await run({}, 'a-name-with-letters.test?type=A');
    expect(seen).toMatchObject({ outcome: 'up', facts: { transport: 'tcp' } });
    expect(seen.facts).not.toHaveProperty('truncated');
  });

  test('a server that does not know EDNS is asked without it', async () => {
    lies = {
      datagram: ({ query, send }) =>
        (dnsPacket.decode(query).additionals ?? []).length > 0
          ? send(answerTo(query, { flags: 1, questions: [], answers: [] }))
          : send(answerTo(query)),
    };
    expect(await run()).toMatchObject({ outcome: 'up' });
    expect(server.asked).toHaveLength(2);
  });

  test('64 KiB over TCP', async () => {
    const text = 'x'.repeat(200);
    lies = {
      stream: (query, socket) =>
        socket.write(framed(answerTo(query, records('TXT', ...Array(295).fill(text))))),
    };
    const seen = await run({ timeoutMs: 2000, request: { transport: 'tcp' } }, 'shop.test?type=TXT');
    expect(seen).toMatchObject({ outcome: 'up', facts: { transport: 'tcp', answerCount: 295 } });
    expect(seen.bytes).toBeGreaterThan(60_000);
    expect(seen.facts?.answers).toHaveLength(20);
  });

  test('an answer in pieces', async () => {
    lies = {
      stream: (query, socket) => {
        const bytes = [...framed(answerTo(query))];
        const timer = setInterval(() => {
          const next = bytes.splice(0, 7);
          if (next.length === 0) clearInterval(timer);
          else if (!socket.destroyed) socket.write(Buffer.from(next));
        }, 3);
      },
    };
    expect(await run({ request: { transport: 'tcp' } })).toMatchObject({ outcome: 'up' });
  });
});

function lowerCase(query: Buffer): Buffer {
  const changed = Buffer.from(query);
  for (let at = 12; at < changed.length; at += 1) {
    const byte = changed[at] ?? 0;
    if (byte >= 0x41 && byte <= 0x5a) changed[at] = byte + 0x20;
  }
  return changed;
}

describe('servers that lie, stall or send anything', () => {
  const another = createSocket('udp4');
  afterAll(() => void another.close());
  const garbage = Buffer.from('GET / HTTP/1.1\r\n\r\n');
  const wrongId = (query: Buffer) => {
    const answer = answerTo(query);
    answer.writeUInt16BE((answer.readUInt16BE(0) + 1) & 0xffff, 0);
    return answer;
  };
  const otherQuestion = (query: Buffer) =>
    answerTo(query, { questions: [{ name: 'other.test', type: 'A' }] });
  const otherType = (query: Buffer) => answerTo(query, { questions: [{ name: 'shop.test', type: 'AAAA' }] });
  const loop = (query: Buffer) => {
    const answer = answerTo(query, { answers: [] });
    answer.writeUInt16BE(1, 6);
    return Buffer.concat([answer, Buffer.from('c01b00010001000000050004c0000201', 'hex')]);
  };
  const tc = (query: Buffer) => withFlags(answerTo(query), (flags) => flags | 0x0200);
  const toUdp = (make: (query: Buffer) => Buffer): DnsLies => ({
    datagram: ({ query, send }) => send(make(query)),
  });
  const toTcp = (make: (query: Buffer) => Buffer): DnsLies => ({
    stream: (query, socket) => void socket.write(framed(make(query))),
  });
  const act = (stream: (socket: Socket, query: Buffer) => void): DnsLies => ({
    stream: (query, socket) => stream(socket, query),
  });
  const udp: readonly [string, DnsLies, code: string, says: RegExp][] = [
    ['silence', {}, 'wait.timeout', /no answer within 400 ms/],
    ['another id', toUdp(wrongId), 'protocol.invalid', /another id/],
    ['another name', toUdp(otherQuestion), 'protocol.invalid', /another question/],
    ['another type', toUdp(otherType), 'protocol.invalid', /another question/],
    ['the query itself', toUdp((query) => query), 'protocol.invalid', /no response/],
    ['no question', toUdp((query) => answerTo(query, { questions: [] })), 'protocol.invalid', /question/],
    ['garbage', toUdp(() => garbage), 'protocol.invalid', /id|response/],
    ['an empty datagram', toUdp(() => Buffer.alloc(0)), 'protocol.invalid', /too short/],
    ['a loop of names', toUdp(loop), 'protocol.invalid', /cannot be read/],
    [
      'half an answer',
      toUdp((query) => answerTo(query).subarray(0, 36)),
      'protocol.invalid',
      /cannot be read/,
    ],
    [
      'from another port',
      { datagram: ({ query, from }) => another.send(answerTo(query), from.port, from.address) },
      'wait.timeout',
      /no answer/,
    ],
    [
      'a flood of lies',
      {
        datagram: ({ query, send }) => {
          for (let left = 200; left > 0; left -= 1) send(wrongId(query));
        },
      },
      'protocol.invalid',
      /^51 datagrams came.*another id/,
    ],
    ['cut off, and TCP stays silent', toUdp(tc), 'wait.timeout', /cut off, and over TCP/],
    [
      'cut off over TCP too, with no records',
      { ...toUdp(tc), ...toTcp((query) => answerTo(query, { answers: [] })) },
      'expect.answer',
      /no A records/,
    ],
    [
      'a code that is no good',
      toUdp((query) => answerTo(query, { flags: 2, answers: [] })),
      'expect.rcode',
      /SERVFAIL/,
    ],
    [
      'a code without the question',
      toUdp((query) => answerTo(query, { flags: 5, answers: [], questions: [] })),
      'expect.rcode',
      /REFUSED/,
    ],
    [
      'NOERROR with nothing',
      toUdp((query) => answerTo(query, { answers: [] })),
      'expect.answer',
      /no A records/,
    ],
  ];
  test.each(udp)('udp: %s', async (_, lie, code, text) => {
    lies = lie;
    const { failure } = await run();
    expect(failure).toMatchObject({ code });
    expect(failure?.message).toMatch(text);
  });

  const tcp: readonly [string, DnsLies, code: string, says: RegExp][] = [
    ['silence', {}, 'wait.timeout', /no answer/],
    ['another id', toTcp(wrongId), 'protocol.invalid', /another id/],
    ['another question', toTcp(otherQuestion), 'protocol.invalid', /another question/],
    ['the query itself', toTcp((query) => query), 'protocol.invalid', /no response/],
    [
      'nothing of a length',
      act((socket) => void socket.write(Buffer.from([0, 0]))),
      'protocol.invalid',
      /too short/,
    ],
    ['a loop of names', toTcp(loop), 'protocol.invalid', /cannot be read/],
    ['an end at once', act((socket) => void socket.end()), 'request.reset', /closed/],
    [
      'half an answer',
      act((socket, query) => void socket.end(framed(answerTo(query)).subarray(0, 20))),
      'request.reset',
      /closed/,
    ],
    ['a reset', act((socket) => void socket.resetAndDestroy()), 'request.reset', /reset/],
    ['a text', act((socket) => void socket.write('SSH-2.0-OpenSSH_9.2\r\n')), 'wait.timeout', /no answer/],
    [
      'a drip',
      act((socket, query) => {
        const bytes = [...framed(answerTo(query, records('TXT', 'x'.repeat(200))))];
        const timer = setInterval(() => {
          if (socket.destroyed) clearInterval(timer);
          else socket.write(Buffer.from(bytes.splice(0, 1)));
        }, 20);
      }),
      'wait.timeout',
      /no answer within 400 ms/,
    ],
  ];
  test.each(tcp)('tcp: %s', async (_, lie, code, text) => {
    lies = lie;
    const { failure } = await run({ request: { transport: 'tcp' } });
    expect(failure).toMatchObject({ code });
    expect(failure?.message).toMatch(text);
  });

  test('what comes after the answer is not read', async () => {
    lies = act((socket, query) => {
      socket.write(framed(answerTo(query)));
      const more = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(65_536)));
      };
      socket.on('drain', more);
      more();
    });
    expect(await run({ request: { transport: 'tcp' } })).toMatchObject({ outcome: 'up', bytes: 52 });
  });

  test('nobody there', async () => {
    const gone = await startLyingDns(() => ({}));
    await gone.close();
    const url = `dns://127.0.0.1:${gone.port}/shop.test`;
    for (const transport of ['udp', 'tcp', 'tls'])
      expect(await checkOnce(checker, url, { timeoutMs, request: { transport } })).toMatchObject({
        outcome: 'down',
        failure: { code: 'connect.refused' },
      });
  });

  test('a check that is stopped says so, and blames nobody', async () => {
    const stop = new AbortController();
    const running = checker.check(assignmentOf(`dns://127.0.0.1:${server.port}/shop.test`), stop.signal);
    await vi.waitUntil(() => server.asked.length > 0);
    stop.abort();
    expect(await running).toMatchObject({ outcome: 'skipped', failure: { code: 'probe.internal' } });
  });
});

describe('expectations', () => {
  const two = records('A', '192.0.2.2', '192.0.2.1');
  const mx = records('MX', { preference: 10, exchange: 'mail.shop.test' });
  const txt = records('TXT', ['v=spf1 include:_spf.Example -all']);
  type Row = readonly [
    string,
    question: string,
    answer: object,
    expects: object,
    code: string | null,
    says?: RegExp,
  ];
  const rows: readonly Row[] = [
    ['records as a set', 'shop.test?type=A', two, { answers: { equals: ['192.0.2.1', '192.0.2.2'] } }, null],
    [
      'one too few',
      'shop.test?type=A',
      two,
      { answers: { equals: ['192.0.2.1', '192.0.2.2', '192.0.2.3'] } },
      'expect.answer',
      /lacks 192\.0\.2\.3$/,
    ],
    [
      'one too many',
      'shop.test?type=A',
      two,
      { answers: { equals: ['192.0.2.1'] } },
      'expect.answer',
      /has 192\.0\.2\.2$/,
    ],
    [
      'names with and without a dot',
      'shop.test?type=MX',
      mx,
      { answers: { equals: ['10 MAIL.shop.test'] } },
      null,
    ],
    [
      'texts keep their case',
      'shop.test?type=TXT',
      txt,
      { answers: { equals: ['v=spf1 include:_spf.example -all'] } },
      'expect.answer',
    ],
    [
      'texts as they are',
      'shop.test?type=TXT',
      txt,
      { answers: { equals: ['v=spf1 include:_spf.Example -all'] } },
      null,
    ],
    [
      'addresses in any form',
      'shop.test?type=AAAA',
      records('AAAA', '2001:db8::1'),
      { answers: { equals: ['2001:DB8:0:0::1'] } },
      null,
    ],
    ['a literal', 'shop.test?type=A', two, { answers: { matches: ['192.0.2.1'] } }, null],
    [
      'a pattern over the whole record',
      'shop.test?type=A',
      two,
      { answers: { matches: ['^shop\\.test\\.\\t300\\tIN\\tA\\t192\\.0\\.2\\.[12]$'] } },
      null,
    ],
    [
      'a pattern in none',
      'shop.test?type=A',
      two,
      { answers: { matches: ['192\\.0\\.2\\.9'] } },
      'expect.answer',
      /answer section matches what it should$/,
    ],
    [
      'a pattern that must not be',
      'shop.test?type=A',
      two,
      { answers: { notMatches: ['\\.2$'] } },
      'expect.answer',
      /should not/,
    ],
    [
      'a pattern in every one',
      'shop.test?type=A',
      two,
      { answers: { everyMatches: ['192\\.0\\.2\\.\\d+$'] } },
      null,
    ],
    [
      'a pattern in one but not in every',
      'shop.test?type=A',
      two,
      { answers: { everyMatches: ['\\.1$'] } },
      'expect.answer',
      /not every/,
    ],
    [
      'authority',
      'shop.test?type=A',
      { authorities: [{ name: 'shop.test', type: 'NS', data: 'ns1.shop.test' }] },
      { authority: { matches: ['ns1.shop.test.'], notMatches: ['ns9'] } },
      null,
    ],
    [
      'no authority',
      'shop.test?type=A',
      two,
      { authority: { matches: ['ns1'] } },
      'expect.answer',
      /authority/,
    ],
    [
      'additional',
      'shop.test?type=A',
      { additionals: [{ name: 'ns1.shop.test', type: 'A', data: '192.0.2.53' }] },
      { additional: { notMatches: ['192.0.2.53'] } },
      'expect.answer',
      /additional/,
    ],
    [
      'no such name, as it should be',
      'shop.test?type=A',
      { flags: 3, answers: [] },
      { rcode: 'NXDOMAIN' },
      null,
    ],
    [
      'one of two codes',
      'shop.test?type=A',
      { flags: 3, answers: [] },
      { rcode: ['NOERROR', 'NXDOMAIN'] },
      null,
    ],
    [
      'no such name',
      'shop.test?type=A',
      { flags: 3, answers: [] },
      {},
      'expect.rcode',
      /NXDOMAIN, expected NOERROR/,
    ],
    [
      'a flag that is set',
      'shop.test?type=A',
      { flags: dnsPacket.AUTHENTIC_DATA },
      { flags: { ad: true, aa: false } },
      null,
    ],
    ['a flag that is not', 'shop.test?type=A', {}, { flags: { ad: true } }, 'expect.flags', /ad is not set/],
    [
      'a flag that should not be',
      'shop.test?type=A',
      { flags: dnsPacket.AUTHORITATIVE_ANSWER },
      { flags: { aa: false } },
      'expect.flags',
      /aa is set/,
    ],
    ['as many as wanted', 'shop.test?type=A', two, { minAnswers: 2 }, null],
    ['fewer than wanted', 'shop.test?type=A', two, { minAnswers: 3 }, 'expect.answer', /only 2 A records/],
    [
      'an alias alone is no answer',
      'shop.test?type=A',
      records('CNAME', 'a.test'),
      {},
      'expect.answer',
      /no A records/,
    ],
    ['an empty answer that is wanted', 'shop.test?type=A', { answers: [] }, { minAnswers: 0 }, null],
    ['a time to live', 'shop.test?type=A', two, { ttl: { min: '5m', max: '300s' } }, null],
    [
      'a short time to live',
      'shop.test?type=A',
      two,
      { ttl: { min: '1h' } },
      'expect.ttl',
      /300 s, expected at least 1h/,
    ],
    ['a long time to live', 'shop.test?type=A', two, { ttl: { max: '1m' } }, 'expect.ttl', /at most 1m/],
  ];
  for (const [title, question, answer, expects, code, text] of rows) {
    test(title, async () => {
      lies = { datagram: says(answer) };
      const { failure } = await run({ timeoutMs: 2000, expect: expects }, question);
      expect(failure?.code ?? null).toBe(code);
      if (text) expect(failure?.message).toMatch(text);
    });
  }

  test('slow is degraded', async () => {
    lies = { datagram: ({ query, send }) => setTimeout(() => send(answerTo(query)), 30) };
    const seen = await run({ expect: { slowerThan: '20ms' } });
    expect(seen).toMatchObject({ outcome: 'degraded', failure: null });
  });

  test('the server says why', async () => {
    const option = { code: 15, data: Buffer.from('\0\x06signature expired') };
    lies = {
      datagram: says({ flags: 2, answers: [], additionals: [{ type: 'OPT', name: '.', options: [option] }] }),
    };
    const { failure, facts } = await run();
    expect(failure?.message).toBe('answered SERVFAIL, expected NOERROR: 6 DNSSEC Bogus (signature expired)');
    expect(facts).toMatchObject({ extendedError: '6 DNSSEC Bogus (signature expired)' });
  });
});

describe('DNS over TLS', () => {
  test('the whole of it, and whom the certificate is for', async () => {
    const authority = await issue({ name: 'authority', ca: true });
    const leaf = await issue({ dns: ['dns.test'] }, authority);
    const secure = await startLyingDns(
      () => ({ stream: (query, socket) => void socket.write(framed(answerTo(query))) }),
      {
        cert: leaf.cert,
        key: leaf.key,
        ALPNProtocols: ['dot'],
      },
    );
    const ask = (request: object) =>
      checkOnce(checker, `dns://127.0.0.1:${secure.port}/shop.test`, {
        request: { transport: 'tls', ...request },
      });
    const tls = { ca: authority.cert };
    const seen = await ask({ serverName: 'dns.test', tls });
    expect(seen).toMatchObject({ outcome: 'up', facts: { transport: 'tls' }, tls: { version: 'TLSv1.3' } });
    expect(seen.timings.tls).toBeGreaterThan(0);
    expect(await ask({ serverName: 'other.test', tls })).toMatchObject({ failure: { code: 'tls.hostname' } });
    expect(await ask({ serverName: 'dns.test' })).toMatchObject({ failure: { code: 'tls.untrusted' } });
    expect(await ask({ serverName: 'other.test', tls: { verify: false } })).toMatchObject({ outcome: 'up' });
    await secure.close();
    expect(
      await checkOnce(checker, `dns://127.0.0.1:${server.port}/shop.test`, {
        timeoutMs,
        request: { transport: 'tls' },
      }),
    ).toMatchObject({
      outcome: 'down',
    });
  });
});

describe('a resolver that lies about the name servers of a zone', () => {
  const each = { request: { nameservers: 'each' } };
  const nsOf = (query: Buffer) => dnsPacket.decode(query).questions?.[0]?.name.toLowerCase() ?? '';

  test('a thousand of them are sixteen', async () => {
    const asked = new Set<string>();
    lies = {
      datagram: ({ query, send }) => {
        const name = nsOf(query);
        if (name !== 'shop.test') asked.add(name);
        send(
          name === 'shop.test'
            ? withFlags(answerTo(query, { answers: [] }), (flags) => flags | 0x0200)
            : answerTo(query, { answers: [{ name, type: 'A', data: '127.53.1.1' }] }),
        );
      },
      stream: (query, socket) => {
        const answers = Array.from({ length: 1000 }, (_, index) => ({
          name: 'shop.test',
          type: 'NS',
          data: `ns${index}.shop.test`,
        }));
        socket.write(framed(answerTo(query, { answers })));
      },
    };
    const seen = await run({ ...each, timeoutMs: 3000 });
    expect(seen.outcome).toBe('down');
    expect(seen.facts?.zone).toBe('shop.test');
    expect(asked.size).toBe(16);
  });

  test('a zone elsewhere is not believed, and looking for one ends', async () => {
    lies = {
      datagram: says({
        answers: [],
        authorities: [
          {
            name: 'elsewhere.test',
            type: 'SOA',
            data: { mname: 'a.test', rname: 'b.test', serial: 1 },
          },
        ],
      }),
    };
    const deep = `${'a.'.repeat(40)}shop.test`;
    expect(await run(each, 'a.shop.test')).toMatchObject({ failure: { code: 'dns.nxdomain' } });
    expect(server.asked).toEqual(['udp a.shop.test NS', 'udp shop.test NS', 'udp test NS', 'udp . NS']);
    expect(await run(each, deep)).toMatchObject({ failure: { code: 'dns.nxdomain' } });
    expect(server.asked.length).toBeLessThanOrEqual(4 + 10);
  });

  test('name servers of another name are none', async () => {
    lies = { datagram: says({ answers: [{ name: 'other.test', type: 'NS', data: 'ns.other.test' }] }) };
    expect(await run(each)).toMatchObject({ failure: { code: 'dns.nxdomain' } });
  });

  test('silence, and a refusal', async () => {
    expect(await run(each)).toMatchObject({ failure: { code: 'dns.timeout', source: 'resolver' } });
    lies = { datagram: says({ flags: 5, answers: [] }) };
    expect(await run(each)).toMatchObject({ failure: { code: 'dns.servfail', source: 'resolver' } });
  });

  test('a name server without an address', async () => {
    lies = {
      datagram: ({ query, send }) =>
        send(
          answerTo(query, {
            answers:
              nsOf(query) === 'shop.test' ? [{ name: 'shop.test', type: 'NS', data: 'ns1.shop.test' }] : [],
          }),
        ),
    };
    const { failure } = await run(each);
    expect(failure).toMatchObject({ code: 'dns.nxdomain', message: 'ns1.shop.test: has no address' });
  });
});

describe('target safety', () => {
  test('what the policy refuses is not sent a single packet', async () => {
    const opened: string[] = [];
    const names = await startLyingDns(() => ({
      datagram: ({ query, send }) => send(answerTo(query, records('A', '10.0.0.1'))),
    }));
    const careful = await startChecker({
      policy: policyOf('127.0.0.0/8:5353'),
      dnsServer: `127.0.0.1:${names.port}`,
      openDatagram: (address, port) => {
        opened.push(address);
        return openDatagram(address, port);
      },
      openSocket: (address, port) => {
        opened.push(address);
        return openSocket(address, port);
      },
    });
    const refused: readonly [url: string, request?: object][] = [
      ['dns://10.0.0.1/shop.test'],
      ['dns://169.254.169.254/shop.test'],
      ['dns://127.0.0.1/shop.test'],
      ['dns://[::1]/shop.test'],
      ['dns://[fe80::1]/shop.test'],
      ['dns://[::ffff:127.0.0.1]/shop.test'],
      ['dns://resolver.test/shop.test'],
      ['dns://resolver.test/shop.test', { resolveTo: '192.168.0.1' }],
      ['dns://hub.parallax.test:8443/shop.test'],
    ];
    for (const [url, request] of refused)
      for (const transport of ['udp', 'tcp', 'tls'])
        expect(
          await checkOnce(careful, url, { timeoutMs, request: { transport, ...request } }),
          url,
        ).toMatchObject({ outcome: 'skipped', failure: { code: 'policy.blocked' } });
    expect(opened).toEqual([]);
    // The owner's own resolver is where it is, for this check as for every other.
    expect(await checkOnce(careful, 'dns:///shop.test', { timeoutMs })).toMatchObject({ outcome: 'up' });
    expect(opened).toEqual(['127.0.0.1']);
    await careful.close();
    await names.close();
  });

  test('the hub is no target, by whatever name it is called', async () => {
    const names = await startLyingDns(() => ({
      datagram: ({ query, send }) => send(answerTo(query, records('A', '127.0.0.1'))),
    }));
    const open = await startChecker({ dnsServer: `127.0.0.1:${names.port}` });
    for (const [host, request] of [
      ['hub.parallax.test', {}],
      ['other.test', { transport: 'tls', serverName: 'hub.parallax.test' }],
    ] as const)
      expect(await checkOnce(open, `dns://${host}:8443/shop.test`, { timeoutMs, request })).toMatchObject({
        failure: { code: 'policy.blocked', message: expect.stringMatching(/own hub/) },
      });
    await open.close();
    await names.close();
  });

  test('a server gets no more questions a second than any destination', async () => {
    const asked: string[] = [];
    const careful = await startChecker({
      policy: policyOf('192.0.2.0/24'),
      limits: { concurrent: 50, perSecond: 3 },
      openDatagram: (address, port) => {
        asked.push(address);
        return openDatagram('127.0.0.1', port);
      },
    });
    lies = { datagram: good };
    const seen = await Promise.all(
      Array.from({ length: 6 }, () =>
        checkOnce(careful, `dns://192.0.2.1:${server.port}/shop.test`, { timeoutMs }),
      ),
    );
    expect(seen.map(({ outcome }) => outcome).sort()).toEqual([
      'skipped',
      'skipped',
      'skipped',
      'up',
      'up',
      'up',
    ]);
    expect(asked).toHaveLength(3);
    await careful.close();
  });
});
