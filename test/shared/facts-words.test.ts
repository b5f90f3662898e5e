import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Facts, type FactValue, factsText } from '../../shared/facts.ts';
import { factLines, factsBrief } from '../../shared/facts-words.ts';

const dns = {
  server: '192.0.2.53:53',
  transport: 'udp',
  rcode: 'NOERROR',
  flags: ['qr', 'rd', 'ra'],
  ttlSeconds: 300,
  serial: null,
  answerCount: 2,
  answers: ['A 192.0.2.1', 'AAAA 2001:db8:85a3::8a2e:370:7334'],
};
const ping = {
  sent: 5,
  received: 4,
  lossPercent: 20,
  minMs: 0.912,
  avgMs: 12.345,
  maxMs: 40.02,
  jitterMs: null,
  ttl: 57,
};
const tls = {
  daysLeft: 12,
  names: ['shop.test', '*.shop.test'],
  notBefore: 1_800_000_000,
  ocsp: { status: 'good', nextUpdate: 1_800_000_000 },
  chain: [{ subject: 'CN=shop.test', issuer: 'CN=ca', notAfter: 1_900_000_000, sha256: 'ab12' }],
};
const nameservers = Array.from({ length: 15 }, (_, at) => ({
  name: `ns${at}.`,
  ip: '192.0.2.1',
  serial: at,
  waitMs: 1.5,
}));

describe('facts as people read them', () => {
  test.each<[string, Facts, string[], string]>([
    [
      'dns',
      dns,
      [
        'server 192.0.2.53:53, transport udp, rcode NOERROR, flags qr rd ra, ttl 300 s, answer count 2',
        'answers  A 192.0.2.1',
        '         AAAA 2001:db8:85a3::8a2e:370:7334',
      ],
      'server 192.0.2.53:53, transport udp, rcode NOERROR, flags qr rd ra, ttl 300 s, answer count 2, answers A 192.0.2.1, AAAA 2001:db8:85a3::8a2e:370:7334…',
    ],
    [
      'ping',
      ping,
      ['sent 5, received 4, loss 20%, min 0.91 ms, avg 12.3 ms, max 40 ms, ttl 57'],
      'sent 5, received 4, loss 20%, min 0.91 ms, avg 12.3 ms, max 40 ms, ttl 57',
    ],
    [
      'tls',
      tls,
      [
        'days left 12, names shop.test *.shop.test, not before 2027-01-15, ocsp (status good, next update 2027-01-15)',
        'chain  CN=shop.test  CN=ca  not after 2030-03-17  ab12',
      ],
      'days left 12, names shop.test *.shop.test, not before 2027-01-15, ocsp (status good, next update 2027-01-15)',
    ],
    ['nothing', {}, [], ''],
    ['nothing that says anything', { a: null, b: false, c: [] }, [], ''],
    ['what is so', { truncated: true, tries: 2 }, ['truncated, tries 2'], 'truncated, tries 2'],
  ])('%s', (_, facts, lines, brief) => {
    expect(factLines(facts)).toEqual(lines);
    expect(factsBrief(facts)).toBe(brief);
  });

  test('a long list ends', () => {
    const lines = factLines({ nameservers });
    expect(lines).toHaveLength(13);
    expect(lines[0]).toBe('nameservers  ns0.  192.0.2.1  serial 0  wait 1.5 ms');
    expect(lines.at(-1)).toBe('             and 3 more');
  });

  test('any facts have words, and bounded ones', () => {
    const value = fc.letrec<{ value: FactValue }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.string(),
        fc.double(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value')),
        fc.dictionary(fc.string(), tie('value'), { noNullPrototype: true }),
      ),
    })).value;
    const facts = fc.dictionary(fc.string(), value, { noNullPrototype: true });
    fc.assert(
      fc.property(facts, (any) => {
        const kept = JSON.parse(factsText(any)) as Facts;
        expect(factLines(kept).join('').length).toBeLessThan(20_000);
        expect(typeof factsBrief(kept)).toBe('string');
      }),
    );
  });
});
