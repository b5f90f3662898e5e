// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${NAME} is what a step sends of what it captured
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pathText } from '../../shared/document-problem.ts';
import { validateEndpoint } from '../../shared/endpoint-document.ts';
import { shortDocument } from '../../shared/endpoint-short.ts';
import { capturesOf, sendParts } from '../../shared/send-template.ts';
import { socketPlaceOf } from '../../shared/socket-url.ts';

const read = (url: string, request: object, expects: object) =>
  validateEndpoint({ name: 'a', url, request, expect: expects });
function problemsOf(url: string, request: object = {}, expects: object = {}): string[] {
  const found = read(url, request, expects);
  return 'problems' in found
    ? found.problems.map(({ path, message }) => `${pathText(path)}: ${message}`)
    : [];
}
const tcp = 'tcp://a.example:25';
const tls = 'tls://a.example';
const hex64 = 'ab'.repeat(32);

describe('documents that are refused, and what is said of them', () => {
  test.each<[string, object, object, string[]]>([
    [
      'tcp://a.example',
      { starttls: 'smtp' },
      {},
      ['url: the URL has no port: it is written tcp://host:port'],
    ],
    ['tcp://:25', {}, {}, ["url: 'tcp://:25' is not a URL"]],
    ['tcp://a.example:0', {}, {}, ['url: nothing listens on port 0']],
    ['tcp://a.example:25/x?y', {}, {}, ["url: '/x?y' means nothing here: it is written tcp://host:port"]],
    ['tls://a.example/x', {}, {}, ["url: '/x' means nothing here: it is written tls://host"]],
    ['tcp://a b:25', {}, {}, ["url: 'tcp://a b:25' is not a URL"]],
    [
      tcp,
      { steps: [{}] },
      {},
      ['request.steps[0]: a step does something: send, sendHex, expect, expectHex or starttls'],
    ],
    [
      tcp,
      { steps: [{ send: 'a', sendHex: '00' }] },
      {},
      ['request.steps[0]: a step sends once: send or sendHex'],
    ],
    [
      tcp,
      { steps: [{ expect: 'a', expectHex: '00' }] },
      {},
      ['request.steps[0]: a step expects one thing: expect or expectHex'],
    ],
    [
      tcp,
      { steps: [{ sendHex: '0' }] },
      {},
      ['request.steps[0].sendHex: is not bytes in hexadecimal, like 00ff10'],
    ],
    [
      tcp,
      { steps: [{ send: 'a\\q' }] },
      {},
      ["request.steps[0].send: '\\q' at position 1 is none of \\r \\n \\t \\0 \\\\ \\$ \\xNN"],
    ],
    [
      tcp,
      { steps: [{ send: 'a\\' }] },
      {},
      ["request.steps[0].send: '\\' at position 1 is none of \\r \\n \\t \\0 \\\\ \\$ \\xNN"],
    ],
    [
      tcp,
      { steps: [{ send: '${1}' }] },
      {},
      ['request.steps[0].send: ${1} is no group of the expect before this step'],
    ],
    [
      tcp,
      { steps: [{ expect: '(a)' }, { send: '${2}' }] },
      {},
      ['request.steps[1].send: ${2} is no group of the expect before this step'],
    ],
    [
      tcp,
      { steps: [{ expect: '(?P<x>a)' }, { send: '${y}' }] },
      {},
      ['request.steps[1].send: ${y} is no named group, (?P<y>…), of an earlier expect'],
    ],
    [
      tcp,
      { steps: [{ expect: '(' }] },
      {},
      ['request.steps[0].expect: error parsing regexp: missing closing ): `(`'],
    ],
    [
      tcp,
      { steps: Array.from({ length: 21 }, () => ({ send: 'a' })) },
      {},
      ['request.steps: must have at most 20 entries'],
    ],
    [
      tcp,
      { secure: true, starttls: 'smtp' },
      {},
      ['request.starttls: has no use beside secure: TLS is there from the start'],
    ],
    [
      tcp,
      { starttls: 'smtp', steps: [{ starttls: true }] },
      {},
      ['request.steps[0].starttls: has no use after starttls: TLS is there'],
    ],
    [
      tcp,
      { steps: [{ expect: 'a', starttls: true }, { starttls: true }] },
      {},
      ['request.steps[1].starttls: has no use after an earlier step: TLS is there'],
    ],
    [tcp, { serverName: 'b.example' }, {}, ['request.serverName: is for TLS: it needs secure or starttls']],
    [
      tcp,
      { starttls: 'smpt' },
      {},
      [
        "request.starttls: 'smpt' is not one of smtp, imap, pop3, ftp, postgres, mysql, ldap, xmpp: did you mean 'smtp'?",
      ],
    ],
    [
      tls,
      {},
      { fingerprints: ['ab'] },
      ['expect.fingerprints[0]: is not a SHA-256 fingerprint of 64 hexadecimal digits'],
    ],
    [
      tls,
      {},
      { publicKeys: ['x'] },
      ['expect.publicKeys[0]: is not the base64 of a SHA-256, 44 characters with = at the end'],
    ],
    [tls, {}, { minVersion: '1.3', maxVersion: '1.2' }, ['expect.minVersion: is above maxVersion']],
    [
      tls,
      {},
      { maxVersion: '1.1' },
      ['expect.maxVersion: is below request.tls.minVersion, 1.2: no server can do that'],
    ],
  ])('%s %j %j', (url, request, expects, problems) => {
    expect(problemsOf(url, request, expects)).toEqual(problems);
  });
});

describe('documents that are good', () => {
  test.each<[string, object, object]>([
    [tcp, {}, {}],
    ['tcp://a.example:25', { starttls: 'smtp' }, {}],
    ['tcp://[2001:db8::1]:25', { secure: true, serverName: 'b.example' }, { tls: 'required' }],
    [tcp, { steps: [{ expect: '^(?P<x>a) (b)' }, { send: '${x} ${2}\\r\\n' }, { send: '${x}' }] }, {}],
    [
      tcp,
      { steps: [{ expect: { pattern: '(?<x>a)(?=b)', engine: 'ecmascript' } }, { send: '${x}${1}' }] },
      {},
    ],
    [tcp, { steps: [{ send: '\\x00\\$\\\\${probe:A}' }] }, { banner: { matches: ['a'] } }],
    [tls, { starttls: 'imap', alpn: ['h2'] }, { fingerprints: [hex64.toUpperCase()], ocsp: 'good' }],
    [
      tls,
      {},
      { names: ['*.example', '127.0.0.1', '::1'].slice(1), minVersion: 1.2, issuer: { matches: ['CN=R1'] } },
    ],
    ['tls://a.example:993', {}, { publicKeys: [`${'A'.repeat(43)}=`], certDays: 30 }],
  ])('%s %j %j, written again as it was read', (url, request, expects) => {
    const found = read(url, request, expects);
    if ('problems' in found) throw new Error(JSON.stringify(found.problems));
    const document = shortDocument(found.document);
    const again = validateEndpoint(document);
    expect('problems' in again ? again.problems : shortDocument(again.document)).toEqual(document);
  });

  test('a fingerprint with colons is the same as one without', () => {
    const colons = hex64.toUpperCase().replace(/..(?=.)/g, '$&:');
    const found = read(tls, {}, { fingerprints: [colons] });
    expect('endpoint' in found && found.endpoint.expect).toMatchObject({ fingerprints: [hex64] });
  });
});

test.each([
  ['tcp://SHOP.example:25', { host: 'shop.example', port: 25 }],
  ['tcp://b%C3%BCcher.example:25', { host: 'xn--bcher-kva.example', port: 25 }],
  ['tcp://127.1:25', { host: '127.0.0.1', port: 25 }],
  ['tcp://0x7f000001:25', { host: '127.0.0.1', port: 25 }],
  ['tcp://[::FFFF:127.0.0.1]:25', { host: '[::ffff:7f00:1]', port: 25 }],
  ['tcp://a.example:80', { host: 'a.example', port: 80 }],
  ['tcp://a.example', { host: 'a.example', port: 7 }],
])('%s is %j', (url, place) => expect(socketPlaceOf(new URL(url), 7)).toEqual(place));

describe('what a step sends', () => {
  test('any bytes can be written', () => {
    const written = (bytes: Uint8Array) =>
      [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(sendParts(written(bytes))).toEqual([...bytes].map((byte) => ({ byte })));
      }),
    );
  });

  test('any text is itself once its backslashes and dollars are escaped', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const parts = sendParts(text.replace(/[\\$]/g, '\\$&'));
        if ('problem' in parts) throw new Error(parts.problem);
        const said = parts.map((part) =>
          'text' in part ? part.text : 'byte' in part ? String.fromCharCode(part.byte) : '?',
        );
        expect(said.join('')).toBe(text);
      }),
    );
  });

  test('what is no capture is text', () => {
    expect(capturesOf('${1} ${a_b} $1 ${} ${-} ${probe:X} ${123} \\${2}')).toEqual(['1', 'a_b']);
  });
});
