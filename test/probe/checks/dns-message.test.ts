import * as dnsPacket from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type DnsMessage,
  questionBytes,
  readHead,
  readMessage,
  sameQuestion,
  writeQuery,
} from '../../../probe/checks/dns-message.ts';
import { recordLine } from '../../../probe/checks/dns-record.ts';
import { dnsTypes } from '../../../shared/dns-question.ts';

const question = { name: 'shop.example', type: 'A' } as const;
const asked = questionBytes(question, null);

function read(bytes: Buffer, length = asked.length): DnsMessage {
  const message = readMessage(bytes, length);
  if ('problem' in message) throw new Error(message.problem);
  return message;
}

function problem(bytes: Buffer): string | null {
  const message = readMessage(bytes, asked.length);
  return 'problem' in message ? message.problem : null;
}

const responded = (over: object): Buffer =>
  dnsPacket.encode({
    type: 'response',
    id: 7,
    questions: [{ ...question, class: 'IN' }],
    ...over,
  } as dnsPacket.Packet);

/** A message of its own bytes: a header that counts so many answers, the question, and then anything. */
function raw(answers: number, ...rest: readonly Buffer[]): Buffer {
  const head = Buffer.from('000781800001000000000000', 'hex');
  head.writeUInt16BE(answers, 6);
  return Buffer.concat([head, asked, ...rest]);
}

/** One answer: owner as bytes, type, data. */
function record(owner: string, type: number, data: Buffer, length = data.length): Buffer {
  const middle = Buffer.alloc(10);
  middle.writeUInt16BE(type, 0);
  middle.writeUInt16BE(1, 2);
  middle.writeUInt32BE(300, 4);
  middle.writeUInt16BE(length, 8);
  return Buffer.concat([Buffer.from(owner, 'hex'), middle, data]);
}

describe('questions', () => {
  test('dns-packet reads what is asked', () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[a-z0-9_-]{1,63}$/), { minLength: 0, maxLength: 3 }),
        fc.constantFrom(...(Object.keys(dnsTypes) as (keyof typeof dnsTypes)[])),
        fc.integer({ min: 0, max: 65_535 }),
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        (labels, type, id, recursion, dnssec, edns) => {
          const name = labels.join('.');
          const bytes = writeQuery(
            id,
            { name, type, recursion, dnssec, edns },
            questionBytes({ name, type }, null),
          );
          const packet = dnsPacket.decode(bytes);
          expect(packet).toMatchObject({ id, type: 'query', flag_rd: recursion, flag_ad: true });
          expect(packet.questions).toEqual([{ name: name || '.', type, class: 'IN' }]);
          expect(packet.additionals).toHaveLength(edns ? 1 : 0);
          if (edns)
            expect(packet.additionals?.[0]).toMatchObject({
              udpPayloadSize: 1232,
              flag_do: dnssec,
              type: 'OPT',
            });
        },
      ),
    );
  });

  test('letters change their case by the random bits, nothing else does', () => {
    const every = questionBytes({ name: 'a-1.bz', type: 'A' }, Buffer.alloc(32, 0xff));
    expect(every.toString('latin1')).toBe('\x03A-1\x02BZ\0\0\x01\0\x01');
    expect(questionBytes({ name: 'a-1.bz', type: 'A' }, Buffer.alloc(32)).toString('latin1')).toBe(
      '\x03a-1\x02bz\0\0\x01\0\x01',
    );
    // A label of 97 bytes would be taken for the letter a; there is none that long.
    const long = questionBytes({ name: `${'x'.repeat(63)}.y`, type: 'A' }, Buffer.alloc(32, 0xff));
    expect(long[0]).toBe(63);
  });

  test('an answer to the question is told from one that lost the case, and from another', () => {
    const mixed = questionBytes(question, Buffer.alloc(32, 0x55));
    const message = Buffer.concat([Buffer.from('000781800001000000000000', 'hex'), mixed]);
    const head = readHead(message);
    if (!head) throw new Error('no head');
    expect(sameQuestion(message, head, mixed)).toBe('exact');
    expect(sameQuestion(message, head, asked)).toBe('case');
    expect(
      sameQuestion(message, head, questionBytes({ name: 'shop.example', type: 'AAAA' }, null)),
    ).toBeNull();
    expect(sameQuestion(message, head, questionBytes({ name: 'shot.example', type: 'A' }, null))).toBeNull();
    expect(sameQuestion(message, { ...head, questions: 2 }, mixed)).toBeNull();
    expect(sameQuestion(message.subarray(0, 14), head, mixed)).toBeNull();
  });
});

describe('answers that dns-packet wrote', () => {
  const rows: readonly [type: string, data: unknown, text: string, plain?: string][] = [
    ['A', '192.0.2.1', '192.0.2.1'],
    ['AAAA', '2001:db8::1', '2001:db8::1'],
    ['CNAME', 'WWW.Example.org', 'www.example.org.'],
    ['NS', 'ns1.shop.example', 'ns1.shop.example.'],
    ['PTR', 'host.example', 'host.example.'],
    ['MX', { preference: 10, exchange: 'mail.shop.example' }, '10 mail.shop.example.'],
    ['MX', { preference: 0, exchange: '.' }, '0 .'],
    ['TXT', ['v=spf1 ', 'say "-all"'], '"v=spf1 " "say \\"-all\\""', 'v=spf1 say "-all"'],
    ['TXT', 'käse', '"käse"', 'käse'],
    ['SRV', { priority: 1, weight: 2, port: 443, target: 'a.b' }, '1 2 443 a.b.'],
    [
      'CAA',
      { flags: 128, tag: 'issue', value: 'ca.example; p=1', issuerCritical: true },
      '128 issue "ca.example; p=1"',
    ],
    [
      'SOA',
      { mname: 'ns.a', rname: 'root.a', serial: 4_294_967_295, refresh: 1, retry: 2, expire: 3, minimum: 4 },
      'ns.a. root.a. 4294967295 1 2 3 4',
    ],
  ];
  test.each(rows)('%s %j', (type, data, text, plain = text) => {
    const bytes = responded({ answers: [{ name: 'Shop.example', type, ttl: 300, data }] });
    const [found] = read(bytes).answers;
    expect(found).toMatchObject({ name: 'shop.example.', type, ttlSeconds: 300, data: text, plain });
    if (found) expect(recordLine(found)).toBe(`shop.example.\t300\tIN\t${type}\t${text}`);
    expect(found?.serial ?? null).toBe(type === 'SOA' ? 4_294_967_295 : null);
  });

  test('code, flags and why, with the bits of EDNS', () => {
    const bytes = responded({
      flags: dnsPacket.AUTHENTIC_DATA | dnsPacket.RECURSION_AVAILABLE | 2,
      additionals: [
        {
          type: 'OPT',
          name: '.',
          udpPayloadSize: 1232,
          extendedRcode: 1,
          ednsVersion: 0,
          flags: 0,
          options: [
            { code: 3, data: Buffer.from('ns1') },
            { code: 15, data: Buffer.from('\0\x09no DNSKEY') },
          ],
        },
      ],
    });
    expect(read(bytes)).toMatchObject({
      rcode: 'RCODE18',
      flags: { aa: false, tc: false, rd: false, ra: true, ad: true, cd: false },
      edns: true,
      extendedError: '9 DNSKEY Missing (no DNSKEY)',
      additional: [],
    });
    expect(read(responded({ flags: 3 }))).toMatchObject({
      rcode: 'NXDOMAIN',
      edns: false,
      extendedError: null,
    });
  });
});

describe('names', () => {
  test('bytes that are no plain characters are escaped, so that no two names look the same', () => {
    const owner = `${Buffer.from('\x06A.b\\ \xe9\x01*\0', 'latin1').toString('hex')}`;
    const [found] = read(raw(1, record(owner, 1, Buffer.from([1, 2, 3, 4])))).answers;
    expect(found?.name).toBe('a\\.b\\\\\\032\\233.*.');
  });

  test('a pointer to a pointer is followed', () => {
    const [first, second] = read(
      raw(2, record('c00c', 5, Buffer.from('c00c', 'hex')), record('c02a', 1, Buffer.from([1, 2, 3, 4]))),
    ).answers;
    expect([first?.data, second?.name]).toEqual(['shop.example.', 'shop.example.']);
  });
});

describe('answers that are none', () => {
  const four = Buffer.from([1, 2, 3, 4]);
  const at = (offset: number) => (0xc000 | offset).toString(16);
  const rows: readonly [string, Buffer, RegExp][] = [
    ['a name that points to itself', raw(1, record(at(12 + asked.length), 1, four)), /points to itself/],
    ['a name that points ahead', raw(1, record(at(0x3f00), 1, four)), /points to itself or ahead/],
    ['a loop of two', raw(1, record(`0161${at(12 + asked.length)}`, 1, four)), /points to itself/],
    ['a label type of the sixties', raw(1, record('4161', 1, four)), /label/],
    ['a name without an end', raw(1, Buffer.from('3f61', 'hex')), /beyond its end/],
    ['a name too long', raw(1, record(`${`3f${'61'.repeat(63)}`.repeat(4)}00`, 1, four)), /255/],
    ['fewer records than it says', raw(2, record('c00c', 1, four)), /beyond its end/],
    ['half a record', raw(1, Buffer.from('c00c0001', 'hex')), /fewer records/],
    ['data beyond the message', raw(1, record('c00c', 1, four, 5)), /beyond its end/],
    ['an address of three bytes', raw(1, record('c00c', 1, four.subarray(1))), /address/],
    ['an alias with more behind', raw(1, record('c00c', 5, Buffer.from('c00c00', 'hex'))), /longer/],
    [
      'an alias beyond its record',
      raw(1, record('c00c', 5, Buffer.from('01610000', 'hex'), 2), Buffer.alloc(9)),
      /beyond its record/,
    ],
    ['a text beyond its record', raw(1, record('c00c', 16, Buffer.from('0561', 'hex'))), /text/],
    ['a SOA of two names', raw(1, record('c00c', 6, Buffer.from('c00cc00c', 'hex'))), /SOA/],
    ['a CAA without a tag', raw(1, record('c00c', 257, Buffer.from('0009', 'hex'))), /CAA/],
    ['an MX of one byte', raw(1, record('c00c', 15, Buffer.from('00', 'hex'))), /too early/],
  ];
  test.each(rows)('%s', (_, bytes, why) => expect(problem(bytes)).toMatch(why));

  test('a chain of pointers costs nothing: what keeps dns-packet busy for a fifth of a second', () => {
    const chain = Buffer.alloc(16_200);
    const start = 12 + asked.length + 12;
    for (let offset = 2; offset + 2 <= chain.length; offset += 2)
      chain.writeUInt16BE(0xc000 | (start + Math.max(0, offset - 2)), offset);
    const last = start + chain.length - 2;
    const one = record(at(last), 65_280, Buffer.alloc(0));
    const bytes = raw(4001, record('c00c', 65_280, chain), ...Array<Buffer>(4000).fill(one));
    expect(bytes.length).toBeLessThan(65_536);
    const began = performance.now();
    expect(read(bytes).answers.at(-1)?.name).toBe('.');
    expect(performance.now() - began).toBeLessThan(50);
  });

  test('the most that names can cost in 64 KiB is a few milliseconds', () => {
    // The longest names there are, each of its own: 126 labels of a byte, then a pointer.
    const owner = (index: number) =>
      `01${(index & 0xff).toString(16).padStart(2, '0')}${at(12 + asked.length + 12)}`;
    const long = Buffer.from(`${'0161'.repeat(124)}00`, 'hex');
    const records = Array.from({ length: 4600 }, (_, index) => record(owner(index), 65_280, Buffer.alloc(0)));
    const bytes = raw(4601, record('c00c', 65_280, long), ...records);
    expect(bytes.length).toBeLessThan(65_536);
    read(bytes);
    const began = performance.now();
    expect(read(bytes).answers).toHaveLength(4601);
    expect(performance.now() - began).toBeLessThan(150);
  });

  test('whatever bytes come, they are read or refused', () => {
    const good = responded({
      answers: rowsOfEverything,
      authorities: [{ name: 'a.shop.example', type: 'NS', data: 'b.shop.example' }],
      additionals: [{ type: 'OPT', name: '.', options: [{ code: 15, data: Buffer.from('\0\x01x') }] }],
    });
    expect(read(good).answers).toHaveLength(rowsOfEverything.length);
    const changed = fc.tuple(
      fc.array(fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 })), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.nat({ max: good.length }),
    );
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), changed), (input) => {
        let bytes: Buffer;
        if (input instanceof Uint8Array) bytes = Buffer.from(input);
        else {
          const [changes, cut] = input;
          bytes = Buffer.from(good).subarray(0, cut);
          for (const [offset, byte] of changes) if (offset < bytes.length) bytes[offset] = byte;
        }
        const message = readMessage(bytes, asked.length);
        if ('problem' in message) expect(message.problem).toMatch(/^\S.{5,80}$/);
        else for (const each of message.answers) expect(recordLine(each).split('\t')).toHaveLength(5);
      }),
      { numRuns: 3000 },
    );
  });
});

const rowsOfEverything = [
  { name: 'shop.example', type: 'A', data: '192.0.2.1' },
  { name: 'shop.example', type: 'MX', data: { preference: 1, exchange: 'mail.shop.example' } },
  { name: 'shop.example', type: 'TXT', data: ['a', 'b'] },
  { name: 'x.example', type: 'CAA', data: { tag: 'issue', value: 'ca' } },
  { name: 'x.example', type: 'SOA', data: { mname: 'a.x.example', rname: 'b.x.example', serial: 1 } },
];
