import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import * as z from 'zod';
import { pathText } from '../../shared/document-problem.ts';
import { endpointSchemas } from '../../shared/endpoint.ts';
import { fileProblemText, parseEndpointFile, validateEndpoint } from '../../shared/endpoint-document.ts';
import { isSecret, resolveReferences, sealableValues } from '../../shared/endpoint-secrets.ts';
import { shortDocument } from '../../shared/endpoint-short.ts';
import { knownSchemes } from '../../shared/protocols.ts';
import { arbitraryDocument } from './arbitrary-endpoint.ts';

const one = (fields: string) => `endpoints:\n  - name: a\n    url: https://a.example/\n    ${fields}\n`;
const file = 'f.yaml';
const environment = { A: 'x' };
const problemsOf = (text: string) => {
  const read = parseEndpointFile(text, file, environment);
  return 'problems' in read
    ? read.problems.map((problem) => fileProblemText(problem).replace(/^f\.yaml:? ?/, ''))
    : [];
};

/** What is written, and every line that is said of it, without the file's name. */
const bad: [text: string, problems: string[]][] = [
  ['', ['is empty: write `endpoints:` and a list']],
  ['# nothing\n', ['is empty: write `endpoints:` and a list']],
  ['endpoints', ['1:1: must be a mapping with the key endpoints, not text']],
  ['[]', ['1:1: must be a mapping with the key endpoints, not a list']],
  ['5', ['1:1: must be a mapping with the key endpoints, not a number']],
  ['endpoints: 5', ['1:1: endpoints: must be a list, not a number']],
  ['endpoints: {}', ['1:1: endpoints: must be a list, not a mapping']],
  ['endpoints:', ['1:1: endpoints: must be a list, not empty']],
  [
    'endpoint: []',
    ["1:1: endpoint: is not a known key: did you mean 'endpoints'?", '1:1: endpoints: is missing'],
  ],
  [
    'foo: 1\nendpoints: []',
    ['1:1: foo: is not a known key: a file holds endpoints, and keys that begin with x-'],
  ],
  [
    'endpoints: [',
    ['1:13: flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  ['endpoints: []\nendpoints: []', ['2:1: this key stands twice']],
  ['endpoints: []\n---\nendpoints: []', ['2:1: holds several documents (---): give each a file of its own']],
  ['endpoints:\n\t- name: a', ['2:1: a tab cannot indent: use spaces']],
  ['endpoints: [*a]', ["1:13: '*a' has no anchor '&a' above it"]],
  ['endpoints: &a [*a]', ["1:16: '*a' stands inside its own anchor"]],
  ['endpoints: [!!foo a]', ['1:13: unresolved tag: tag:yaml.org,2002:foo']],
  [
    'endpoints: [a, null, [], 5]',
    [
      '1:13: endpoints[0]: must be a mapping with at least a name and a url, not text',
      '1:16: endpoints[1]: must be a mapping with at least a name and a url, not empty',
      '1:22: endpoints[2]: must be a mapping with at least a name and a url, not a list',
      '1:26: endpoints[3]: must be a mapping with at least a name and a url, not a number',
    ],
  ],
  ['endpoints: [{}]', ['1:13: endpoints[0].name: is missing', '1:13: endpoints[0].url: is missing']],
  [
    'endpoints: [{name: a, url: https://a.example/}, {name: a, url: https://b.example/}]',
    ["1:50: endpoints[1].name: 'a' is the name of endpoints[0] already"],
  ],
  [one('name: b'), ['4:5: this key stands twice']],
  [one('enabled: yes'), ['4:5: endpoints[0].enabled: must be true or false, not text']],
  [one('interval: 30'), ['4:5: endpoints[0].interval: must be text like 30s, not a number']],
  [
    one('interval: 30x'),
    ["4:5: endpoints[0].interval: '30x' is not a duration like 500ms, 30s, 5m, 1h or 1d"],
  ],
  [one('interval: 500ms'), ['4:5: endpoints[0].interval: 500ms is not within 1s to 1d']],
  [one('interval: 2d'), ['4:5: endpoints[0].interval: 2d is not within 1s to 1d']],
  [one('timeout: 2m'), ['4:5: endpoints[0].timeout: is longer than the interval of 1m']],
  [one('timeout: 1ms'), ['4:5: endpoints[0].timeout: 1ms is not within 10ms to 1d']],
  [one('interval: ""'), ["4:5: endpoints[0].interval: '' is not a duration like 500ms, 30s, 5m, 1h or 1d"]],
  [one('regions: eu'), ['4:5: endpoints[0].regions: must be a list, not text']],
  [
    one('regions: [EU]'),
    ['4:15: endpoints[0].regions[0]: a region is written in lower-case letters, digits and hyphens'],
  ],
  [one('regions: [eu, eu]'), ["4:19: endpoints[0].regions[1]: 'eu' stands here twice"]],
  [one('replicas: 0'), ['4:5: endpoints[0].replicas: must be at least 1']],
  [one('replicas: 17'), ['4:5: endpoints[0].replicas: must be at most 16']],
  [one('replicas: 1.5'), ['4:5: endpoints[0].replicas: must be a whole number, not a fraction']],
  [one('replicas: "2"'), ['4:5: endpoints[0].replicas: must be a number, not text']],
  [one('retries: 3'), ['4:5: endpoints[0].retries: must be a mapping, not a number']],
  [one('retries: {count: 11}'), ['4:15: endpoints[0].retries.count: must be at most 10']],
  [
    one('retries: {count: 5, delay: 20s}'),
    ['4:5: endpoints[0].retries: do not end before the next slot, 1m later'],
  ],
  [
    one('retries: {cuont: 1}'),
    ["4:15: endpoints[0].retries.cuont: is not a known key: did you mean 'count'?"],
  ],
  [one('down: {quorum: most}'), ["4:12: endpoints[0].down.quorum: 'most' is not one of majority, all, any"]],
  [one('down: {quorum: 0}'), ['4:12: endpoints[0].down.quorum: must be more than 0']],
  [one('down: {quorum: true}'), ["4:12: endpoints[0].down.quorum: 'true' is not one of majority, all, any"]],
  [
    one('regions: [eu]\n    down: {minRegions: 2}'),
    ['5:12: endpoints[0].down.minRegions: is more than the number of its regions (1)'],
  ],
  [
    one('regions: [eu]\n    down: {quorum: 3}'),
    ['5:12: endpoints[0].down.quorum: is more than the number of its regions (1)'],
  ],
  [one('down: {after: 0}'), ['4:12: endpoints[0].down.after: must be at least 1']],
  [one('robots: maybe'), ["4:5: endpoints[0].robots: 'maybe' is not one of ignore, respect"]],
  [one('tags: [a]'), ['4:5: endpoints[0].tags: must be a mapping, not a list']],
  [
    one('tags: {team: 5}'),
    ['4:12: endpoints[0].tags.team: must be text, not a number (quotes make it text)'],
  ],
  [
    one('tags: {" x": a}'),
    ["4:12: endpoints[0].tags[' x']: the name is not a tag name: letters, digits and . _ / -"],
  ],
  [one('alert: ops'), ['4:5: endpoints[0].alert: must be a list, not text']],
  [one('alert: [""]'), ['4:13: endpoints[0].alert[0]: must not be empty']],
  [one('renamedFrom: a'), ['4:5: endpoints[0].renamedFrom: is the name itself']],
  [
    one('foo: 1'),
    [
      '4:5: endpoints[0].foo: is not a known key: known are name, renamedFrom, enabled, interval, timeout, regions, replicas, retries, down, robots, tags, evidence, alert, secrets, url, request, expect',
    ],
  ],
  [one('Interval: 5s'), ["4:5: endpoints[0].Interval: is not a known key: did you mean 'interval'?"]],
  [
    one('frequency: 5s'),
    [
      '4:5: endpoints[0].frequency: is not a known key: known are name, renamedFrom, enabled, interval, timeout, regions, replicas, retries, down, robots, tags, evidence, alert, secrets, url, request, expect',
    ],
  ],
  [
    one('secrets: [request.url]'),
    [
      '4:15: endpoints[0].secrets[0]: must be one of request.headers.*, request.metadata.*, request.steps.*.send, request.body, request.basicAuth.username, request.basicAuth.password, request.bearer, request.proxy, request.tls.ca, request.tls.cert, request.tls.key',
    ],
  ],
  [one('request: []'), ['4:5: endpoints[0].request: must be a mapping, not a list']],
  [one('request:'), ['4:5: endpoints[0].request: must be a mapping, not empty']],
  [
    one('request: {method: get}'),
    [
      "4:15: endpoints[0].request.method: 'get' is not one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS: did you mean 'GET'?",
    ],
  ],
  [
    one('request: {method: FETCH}'),
    ["4:15: endpoints[0].request.method: 'FETCH' is not one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
  ],
  [
    one('request: {header: {}}'),
    ["4:15: endpoints[0].request.header: is not a known key: did you mean 'headers'?"],
  ],
  [one('request: {headers: [a]}'), ['4:15: endpoints[0].request.headers: must be a mapping, not a list']],
  [
    one('request: {headers: {"a b": x}}'),
    ["4:25: endpoints[0].request.headers['a b']: the name is not a header name (RFC 9110 token)"],
  ],
  [
    one('request: {headers: {X: 5}}'),
    ['4:25: endpoints[0].request.headers.X: must be text, not a number (quotes make it text)'],
  ],
  [
    one('request: {headers: {X: "a\\nb"}}'),
    ['4:25: endpoints[0].request.headers.X: a header value holds no control characters'],
  ],
  [
    one('request: {headers: {Host: a, host: b}}'),
    ["4:34: endpoints[0].request.headers.host: is the same header as 'Host'"],
  ],
  [
    one('request: {headers: {Content-Length: "5"}}'),
    ['4:25: endpoints[0].request.headers.Content-Length: is written by the probe itself'],
  ],
  [one('request: {basicAuth: {username: a}}'), ['4:15: endpoints[0].request.basicAuth.password: is missing']],
  [
    one('request: {basicAuth: {user: a, password: b}}'),
    [
      '4:15: endpoints[0].request.basicAuth.username: is missing',
      '4:27: endpoints[0].request.basicAuth.user: is not a known key: known are username, password',
    ],
  ],
  [
    one('request: {basicAuth: {username: a, password: b}, bearer: c}'),
    ['4:5: endpoints[0].request: has basicAuth and bearer: only one can be sent'],
  ],
  [
    one('request: {bearer: a, headers: {authorization: b}}'),
    ['4:5: endpoints[0].request: has bearer and headers.authorization: only one can be sent'],
  ],
  [one('request: {redirects: 21}'), ['4:15: endpoints[0].request.redirects: must be at most 20']],
  [one('request: {redirects: -1}'), ['4:15: endpoints[0].request.redirects: must be at least 0']],
  [one('request: {ipFamily: 5}'), ["4:15: endpoints[0].request.ipFamily: '5' is not one of 4, 6, any"]],
  [one('request: {ipFamily: v4}'), ["4:15: endpoints[0].request.ipFamily: 'v4' is not one of 4, 6, any"]],
  [one('request: {resolveTo: a.example}'), ['4:15: endpoints[0].request.resolveTo: is not an IP address']],
  [one('request: {serverName: "a b"}'), ['4:15: endpoints[0].request.serverName: is not a host name']],
  [
    one('request: {httpVersion: "3"}'),
    ["4:15: endpoints[0].request.httpVersion: '3' is not one of 2, 1.1, any"],
  ],
  [
    one('request: {proxy: "socks4://a:1080"}'),
    [
      '4:15: endpoints[0].request.proxy: is not a proxy like http://proxy.example:3128 or socks5://proxy.example:1080',
    ],
  ],
  [
    one('request: {proxy: a}'),
    [
      '4:15: endpoints[0].request.proxy: is not a proxy like http://proxy.example:3128 or socks5://proxy.example:1080',
    ],
  ],
  [
    one('request: {compression: lz4}'),
    ["4:15: endpoints[0].request.compression: 'lz4' is not one of identity, gzip, br, deflate, zstd, any"],
  ],
  [
    one('request: {tls: {verfy: false}}'),
    ["4:21: endpoints[0].request.tls.verfy: is not a known key: did you mean 'verify'?"],
  ],
  [
    one('request: {tls: {ca: x}}'),
    ['4:21: endpoints[0].request.tls.ca: is not a certificate in PEM form (-----BEGIN …)'],
  ],
  [
    one('request: {tls: {key: x}}'),
    [
      '4:15: endpoints[0].request.tls.cert: is missing: tls.key needs it',
      '4:21: endpoints[0].request.tls.key: is not a private key in PEM form (-----BEGIN …)',
    ],
  ],
  [
    one('request: {tls: {cert: "-----BEGIN CERTIFICATE-----\\nx\\n-----END CERTIFICATE-----"}}'),
    ['4:15: endpoints[0].request.tls.key: is missing: tls.cert needs it'],
  ],
  [one('request: {body: {a: 1}}'), ['4:15: endpoints[0].request.body: must be text, not a mapping']],
  [one('expect: {status: 200}'), ['4:14: endpoints[0].expect.status: must be a list, not a number']],
  [one('expect: {status: []}'), ['4:14: endpoints[0].expect.status: must have at least 1 entry']],
  [
    one('expect: {status: [2XX]}'),
    ["4:23: endpoints[0].expect.status[0]: a status is written '2xx', '200' or '200-204'"],
  ],
  [
    one('expect: {status: [600]}'),
    ["4:23: endpoints[0].expect.status[0]: a status is written '2xx', '200' or '200-204'"],
  ],
  [
    one('expect: {status: [2.5]}'),
    ['4:23: endpoints[0].expect.status[0]: must be text or a whole number, not a fraction'],
  ],
  [
    one('expect: {httpVersions: ["3"]}'),
    ["4:29: endpoints[0].expect.httpVersions[0]: '3' is not one of 2, 1.0, 1.1"],
  ],
  [one('expect: {headers: [{matches: a}]}'), ['4:24: endpoints[0].expect.headers[0].name: is missing']],
  [
    one('expect: {headers: [{name: a, match: b}]}'),
    ["4:34: endpoints[0].expect.headers[0].match: is not a known key: did you mean 'matches'?"],
  ],
  [one('expect: {body: welcome}'), ['4:14: endpoints[0].expect.body: must be a mapping, not text']],
  [
    one('expect: {body: {matches: welcome}}'),
    ['4:21: endpoints[0].expect.body.matches: must be a list, not text'],
  ],
  [
    one('expect: {body: {matches: ["("]}}'),
    ['4:31: endpoints[0].expect.body.matches[0]: error parsing regexp: missing closing ): `(`'],
  ],
  [
    one('expect: {body: {matches: ["(?=a)b"]}}'),
    [
      "4:31: endpoints[0].expect.body.matches[0]: lookaround '(?=' at position 0 cannot be matched in linear time: put what must be there in `matches` and what must not in `notMatches`, or write {pattern, engine: ecmascript}",
    ],
  ],
  [
    one('expect: {body: {matches: [{pattern: "(", engine: ecmascript}]}}'),
    ['4:31: endpoints[0].expect.body.matches[0]: Invalid regular expression: /(/u: Unterminated group'],
  ],
  [
    one('expect: {body: {matches: [{pattern: a, engine: pcre}]}}'),
    ["4:44: endpoints[0].expect.body.matches[0].engine: 'pcre' is not one of re2, ecmascript"],
  ],
  [
    one('expect: {body: {matches: [{regex: a}]}}'),
    [
      '4:31: endpoints[0].expect.body.matches[0].pattern: is missing',
      '4:32: endpoints[0].expect.body.matches[0].regex: is not a known key: known are pattern, engine',
    ],
  ],
  [
    one('expect: {body: {matches: [5]}}'),
    ['4:31: endpoints[0].expect.body.matches[0]: must be text or a mapping, not a number'],
  ],
  [
    one('expect: {json: [{path: $.a}]}'),
    ['4:21: endpoints[0].expect.json[0]: say what is expected: equals, matches, lt, gt or exists'],
  ],
  [
    one('expect: {json: [{path: a.b, exists: true}]}'),
    ["4:22: endpoints[0].expect.json[0].path: a path is written $.a.b[0]['c d']"],
  ],
  [
    one('expect: {json: [{path: $.a, equals: {}}]}'),
    [
      '4:33: endpoints[0].expect.json[0].equals: must be text or a number or true or false or null, not a mapping',
    ],
  ],
  [
    one('expect: {json: [{path: $.a, lt: "5"}]}'),
    ['4:33: endpoints[0].expect.json[0].lt: must be a number, not text'],
  ],
  [
    one('expect: {tls: maybe}'),
    ["4:14: endpoints[0].expect.tls: 'maybe' is not one of required, forbidden, any"],
  ],
  [one('expect: {certDays: -1}'), ['4:14: endpoints[0].expect.certDays: must be at least 0']],
  [
    one('expect: {slowerThan: fast}'),
    ["4:14: endpoints[0].expect.slowerThan: 'fast' is not a duration like 500ms, 30s, 5m, 1h or 1d"],
  ],
  [one('expect: {slowerThan: 11m}'), ['4:14: endpoints[0].expect.slowerThan: 11m is not within 1ms to 10m']],
  [
    one('expect: {maxBodyBytes: 1048576}'),
    ['4:14: endpoints[0].expect.maxBodyBytes: must be text like 1MiB, not a number'],
  ],
  [
    one('expect: {maxBodyBytes: 17MiB}'),
    ['4:14: endpoints[0].expect.maxBodyBytes: 17MiB is more than 16MiB'],
  ],
  [one('expect: {maxBodyBytes: 1GB}'), ['4:14: endpoints[0].expect.maxBodyBytes: 1GB is more than 16MiB']],
  [
    one('request: {method: HEAD}\n    expect: {body: {matches: [a]}}'),
    ['5:14: endpoints[0].expect.body: an answer to HEAD has no body'],
  ],
  [
    one(`request: {bearer: "\${env:NOPE}"}`),
    [`4:15: endpoints[0].request.bearer: \${env:NOPE} is not set in the environment`],
  ],
  [
    one(`request: {bearer: "\${env:}"}`),
    [`4:15: endpoints[0].request.bearer: write the reference as \${env:NAME}`],
  ],
  [
    one(`request: {bearer: "\${probe:a-b}"}`),
    [`4:15: endpoints[0].request.bearer: write the reference as \${probe:NAME}`],
  ],
  [
    one(`request: {bearer: "\${env:A"}`),
    [`4:15: endpoints[0].request.bearer: write the reference as \${env:NAME}`],
  ],
  [
    one(`tags: {a: "\${env:A}"}`),
    [
      `4:12: endpoints[0].tags.a: \${env:…} stands only in request.headers.*, request.metadata.*, request.steps.*.send, request.body, request.basicAuth.username, request.basicAuth.password, request.bearer, request.proxy, request.tls.ca, request.tls.cert, request.tls.key`,
    ],
  ],
  [
    'endpoints: [{name: a, url: "ftp://a/"}]',
    [`1:23: endpoints[0].url: the scheme 'ftp' is not known, only ${knownSchemes.join(', ')}`],
  ],
  ['endpoints: [{name: a, url: "a.example"}]', ["1:23: endpoints[0].url: 'a.example' is not a URL"]],
  ['endpoints: [{name: a, url: "https://"}]', ["1:23: endpoints[0].url: 'https://' is not a URL"]],
  [
    'endpoints: [{name: a, url: "https://u:p@a.example/"}]',
    ['1:23: endpoints[0].url: a URL holds no user name or password: use request.basicAuth'],
  ],
  ['endpoints: [{name: a, url: "//a"}]', ["1:23: endpoints[0].url: '//a' is not a URL"]],
  ['endpoints: [{name: a, url: "http:a b"}]', ["1:23: endpoints[0].url: 'http:a b' is not a URL"]],
  ['endpoints: [{name: a, url: "HTTPS//x"}]', ["1:23: endpoints[0].url: 'HTTPS//x' is not a URL"]],
  [
    'endpoints: [{name: a, url: "mailto://a.example/"}]',
    [`1:23: endpoints[0].url: the scheme 'mailto' is not known, only ${knownSchemes.join(', ')}`],
  ],
  [
    'endpoints: [{name: " a", url: "https://a.example/"}]',
    [
      '1:14: endpoints[0].name: a name begins with a letter or digit and holds letters, digits, spaces and . _ : / -',
    ],
  ],
  [
    'endpoints: [{name: 5, url: "https://a.example/"}]',
    ['1:14: endpoints[0].name: must be text, not a number (quotes make it text)'],
  ],
  [
    'endpoints: [{name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, url: "https://a.example/"}]',
    ['1:14: endpoints[0].name: must have at most 100 characters'],
  ],
  [
    'endpoints: [{name: a, url: "tcp://a.example:1", evidence: {trace: true, body: true}}]',
    [
      '1:60: endpoints[0].evidence.trace: cannot be had: a check of tcp:// has no header to carry it',
      '1:73: endpoints[0].evidence.body: cannot be had: a check of tcp:// has no body to show',
    ],
  ],
  [
    'endpoints: [{name: a, url: "wss://a.example/", evidence: {body: true}}]',
    ['1:59: endpoints[0].evidence.body: cannot be had: a check of ws:// has no body to show'],
  ],
  [
    'endpoints: [{name: a, url: "https://a.example/", evidence: {trace: true}, request: {headers: {Traceparent: x}}}]',
    [
      '1:95: endpoints[0].request.headers.Traceparent: is written by the probe itself: evidence.trace asks for it',
    ],
  ],
  [
    'endpoints: [{name: a, url: 5}]',
    ['1:23: endpoints[0].url: must be text, not a number (quotes make it text)'],
  ],
];

describe('a file that is wrong is refused in words, by line and path', () => {
  test.each(bad)('%j', (text, problems) => expect(problemsOf(text)).toEqual(problems));

  test('all problems at once, in the order of the file, with the place where a merged key is written', () => {
    const text = `x-base: &base
  interval: 1
endpoints:
  - <<: *base
    name: a
    url: https://a.example/
    request: {headrs: {}, tls: {verfy: 1}}
  - name: b
    url: https://b.example/
    tags:
      team: 5
`;
    expect(problemsOf(text)).toEqual([
      '2:3: endpoints[0].interval: must be text like 30s, not a number',
      "7:15: endpoints[0].request.headrs: is not a known key: did you mean 'headers'?",
      "7:33: endpoints[0].request.tls.verfy: is not a known key: did you mean 'verify'?",
      '11:7: endpoints[1].tags.team: must be text, not a number (quotes make it text)',
    ]);
  });

  test('no message holds a value that may be a secret', () => {
    const secret = 'hunter2\n';
    const request = {
      headers: { authorization: secret, 'x-key': secret, cookie: { a: secret } },
      bearer: [secret],
      basicAuth: { username: 5, password: secret, extra: secret },
      proxy: secret,
      body: { a: secret },
      tls: { key: secret, ca: secret, cert: secret },
    };
    const read = validateEndpoint({ name: 'a', url: 'https://a.example/', request });
    expect('problems' in read && read.problems.length).toBeGreaterThan(6);
    expect(JSON.stringify(read)).not.toContain('hunter2');
  });
});

describe('YAML that would harm', () => {
  test('aliases that grow without end are counted, not followed', () => {
    const lines = Array.from(
      { length: 40 },
      (_, n) => `x-${n}: &a${n} [${n === 0 ? 'x' : `*a${n - 1}, *a${n - 1}`}]`,
    );
    expect(problemsOf(`${lines.join('\n')}\nendpoints: []\n`)).toEqual([
      'its aliases stand for more than 2000000 values: write less with them',
    ]);
  });

  test('one anchor in very many endpoints is fine', () => {
    const many = Array.from({ length: 3000 }, (_, n) => `  - {<<: *base, name: a${n}}`).join('\n');
    expect(
      problemsOf(`x-base: &base {url: 'https://a.example/', interval: 5s}\nendpoints:\n${many}\n`),
    ).toEqual([]);
  });

  test.each([
    ['nested without end', '['.repeat(200_000)],
    ['nested without end, as JSON', `{"endpoints":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
    ['endless mappings', '{a: '.repeat(100_000)],
    ['bytes that are no text', '\u0000\u0001\u0002'],
    ['a key that is a list', '? [a, b]\n: c\nendpoints: []'],
    ['a key that is a prototype', one('tags: {__proto__: x}')],
    ['a prototype of the whole', '__proto__: {endpoints: []}'],
  ])('%s is refused', (_what, text) => expect(problemsOf(text).length).toBeGreaterThan(0));

  test('more than 16 MiB is refused before it is read', () => {
    const started = performance.now();
    expect(problemsOf(`# ${'ä'.repeat(9 * 1024 * 1024)}`)).toEqual([
      'is larger than 16 MiB: split it into several files',
    ]);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('no text makes it throw', () => {
    const pieces = fc.constantFrom(
      'endpoints:',
      '\n',
      '  - ',
      'name: a',
      'url: ',
      '&a ',
      '*a',
      '<<: ',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '|',
      '>',
      '!!',
      '? ',
      ': ',
      '\t',
      '---',
      '#',
      '%',
      'https://x/',
      '\0',
      `\${env:A}`,
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(pieces, fc.string({ maxLength: 5 })), { maxLength: 30 }), (parts) => {
        parseEndpointFile(parts.join(''), file, environment);
      }),
      { numRuns: 2000 },
    );
  });

  test('no JSON makes the reader of one endpoint throw', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.jsonValue(), (request, expected) => {
        validateEndpoint({ name: 'a', url: 'https://a.example/', request, expect: expected });
      }),
      { numRuns: 1000 },
    );
    const deep = JSON.parse(`${'['.repeat(50_000)}${']'.repeat(50_000)}`) as unknown;
    expect(validateEndpoint({ name: 'a', url: 'https://a.example/', tags: deep })).toHaveProperty('problems');
  });
});

describe('a good file', () => {
  test('is read with its defaults', () => {
    const read = parseEndpointFile(
      one('interval: 30s\n    request: {ipFamily: 4, httpVersion: 2, tls: {minVersion: 1.3}}'),
      file,
    );
    expect('endpoints' in read && read.endpoints[0]?.endpoint).toMatchObject({
      interval: 30_000,
      request: { method: 'GET', ipFamily: '4', httpVersion: '2', tls: { verify: true, minVersion: '1.3' } },
      expect: { status: ['2xx'], maxBodyBytes: 1_048_576 },
    });
  });

  test('may be JSON', () => {
    const text = JSON.stringify({ endpoints: [{ name: 'a', url: 'https://a.example/' }] }, null, 2);
    expect(parseEndpointFile(text, file)).toMatchObject({ endpoints: [{ endpoint: { name: 'a' } }] });
  });

  test('is written back in the form of a person and read again, for any endpoint', () => {
    fc.assert(
      fc.property(arbitraryDocument(), (document) => {
        const endpoint = endpointSchemas.http.parse(document);
        const whole = z.encode(endpointSchemas.http, endpoint);
        expect(endpointSchemas.http.parse(whole)).toEqual(endpoint);
        const short = shortDocument(whole);
        expect(endpointSchemas.http.parse(short)).toEqual(endpoint);
        expect(JSON.stringify(short).length).toBeLessThanOrEqual(JSON.stringify(whole).length);
        const read = parseEndpointFile(
          stringify({ endpoints: [short] }, { aliasDuplicateObjects: false }),
          file,
        );
        expect('endpoints' in read && read.endpoints.map((found) => found.endpoint)).toEqual([endpoint]);
      }),
      { numRuns: 300 },
    );
  });
});

describe('secrets and references', () => {
  const request = (over: object) => ({ name: 'a', url: 'https://a.example/', request: over });

  test.each<[what: object, secret: string[]]>([
    [
      {
        headers: {
          Authorization: 'x',
          'X-API-Key': 'x',
          'X-Auth-Token': 'x',
          Cookie: 'x',
          'Client-Secret': 'x',
        },
      },
      ['authorization', 'x-api-key', 'x-auth-token', 'cookie', 'client-secret'],
    ],
    [{ headers: { Accept: 'x', 'User-Agent': 'x', Host: 'x', 'Content-Type': 'x' } }, []],
    [{ headers: { Authorization: `Bearer \${probe:T}`, Cookie: '' } }, []],
    [{ headers: { Authorization: `Bearer \${probe:T} and more` } }, ['authorization']],
    [
      { body: 'x', bearer: 'x', basicAuth: { username: 'x', password: 'x' } },
      ['body', 'basicAuth.password', 'bearer'],
    ],
    [{ tls: { ca: 'x', cert: 'x', key: 'x' }, proxy: 'http://a:3128' }, ['tls.key']],
    [{ proxy: 'http://u:p@a:3128' }, ['proxy']],
  ])('%j', (over, secret) => {
    const found = sealableValues(request(over))
      .filter(isSecret)
      .map(({ field }) => field);
    expect(found.map((field) => field.replace(/^request\.(headers\.)?/, ''))).toEqual(secret);
  });

  test('what came from the environment is named as a secret; several in one value; nothing else is touched', () => {
    const before = request({
      headers: { 'X-A': `\${env:ONE}-\${env:TWO}`, 'X-B': `\${probe:P}` },
      body: 'plain',
    });
    expect(resolveReferences(before, { ONE: '1', TWO: `\${env:ONE}` })).toEqual({
      document: {
        ...request({ headers: { 'X-A': `1-\${env:ONE}`, 'X-B': `\${probe:P}` }, body: 'plain' }),
        secrets: ['request.headers.x-a'],
      },
      problems: [],
    });
    expect(before.request).toHaveProperty('headers.X-A', `\${env:ONE}-\${env:TWO}`);
  });
});

test('a path is written as one would in code', () => {
  expect(pathText(['endpoints', 2, 'request', 'headers', 'a b'])).toBe("endpoints[2].request.headers['a b']");
  expect(pathText(['request', 'headers', 'X-Key'])).toBe('request.headers.X-Key');
  expect(pathText([])).toBe('');
});
