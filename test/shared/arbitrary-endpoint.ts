import fc from 'fast-check';
import type { EndpointDocument } from '../../shared/endpoint.ts';

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}[a-z0-9]$/);
const text = fc
  .string({ unit: 'grapheme', maxLength: 30 })
  .filter((one) => !/\0|\$\{|<sealed>/.test(one) && one.isWellFormed());
const headerValue = fc.stringMatching(/^[!-~][ -~]{0,30}$/).filter((one) => !one.includes('${'));
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const record = <T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { requiredKeys: [] });
const pattern = fc.oneof(
  fc.constantFrom('welcome', '^a+b?$', '(?i)shop', '\\d{3}', '', ' yes', '~', 'null', '1.0'),
  fc.constant({ pattern: 'a(?=b)', engine: 'ecmascript' as const }),
);
const pem = (label: string) => `-----BEGIN ${label}-----\nMIIB\n-----END ${label}-----\n`;

const request = record({
  method: fc.constantFrom('GET', 'POST', 'PUT'),
  headers: fc.dictionary(fc.stringMatching(/^x-[a-z0-9!#.~]{1,12}$/), headerValue, { maxKeys: 4 }),
  body: text,
  redirects: fc.integer({ min: 0, max: 20 }),
  ipFamily: fc.constantFrom('any', '4', '6'),
  resolveTo: fc.oneof(fc.ipV4(), fc.constant('2001:db8::1')),
  serverName: fc.constant('a.example'),
  proxy: fc.constantFrom('http://proxy.example:3128', 'https://u:p@proxy.example'),
  compression: fc.constantFrom('identity', 'zstd', 'any'),
  tls: fc.oneof(
    fc.record({ verify: fc.boolean(), minVersion: fc.constantFrom('1.0', '1.3') }, { requiredKeys: [] }),
    fc.constant({ cert: pem('CERTIFICATE'), key: pem('PRIVATE KEY'), ca: pem('CERTIFICATE') }),
  ),
  bearer: text,
});

const expectation = record({
  status: fc.array(fc.constantFrom('2xx', '200', '200-204', 404), { minLength: 1, maxLength: 3 }),
  httpVersions: fc.subarray(['1.1', '2']),
  headers: fc.array(
    fc.record({ name: word, matches: pattern, allowMissing: fc.boolean() }, { requiredKeys: ['name'] }),
    { maxLength: 2 },
  ),
  body: record({
    matches: fc.array(pattern, { maxLength: 2 }),
    notMatches: fc.array(pattern, { maxLength: 2 }),
  }),
  json: fc.array(
    fc.oneof(
      fc.record({
        path: fc.constantFrom('$', '$.a.b[0]', "$['c d']"),
        equals: fc.oneof(text, fc.boolean(), fc.integer(), fc.constant(null)),
      }),
      fc.record({
        path: fc.constant('$.n'),
        lt: fc.double({ noNaN: true, noDefaultInfinity: true }),
        gt: fc.integer(),
      }),
    ),
    { maxLength: 2 },
  ),
  tls: fc.constantFrom('required', 'any'),
  certDays: fc.integer({ min: 0, max: 3650 }),
  slowerThan: fc.constantFrom('250ms', '2s', '1m'),
  maxBodyBytes: fc.constantFrom('1B', '1500B', '64KiB', '1MiB', '16MiB'),
});

/** Documents as people write them, good ones, without references and marks. */
export function arbitraryDocument(): fc.Arbitrary<EndpointDocument> {
  const good = fc.record(
    {
      name: word,
      url: fc.webUrl({ validSchemes: ['http', 'https'], withQueryParameters: true }),
      enabled: fc.boolean(),
      interval: fc.constantFrom('20s', '90s', '1h', '1d', '20500ms'),
      timeout: fc.constantFrom('10ms', '1.5s', '20s'),
      regions: fc.uniqueArray(word, { minLength: 2, maxLength: 4 }),
      replicas: fc.integer({ min: 1, max: 16 }),
      retries: record({ count: fc.integer({ min: 0, max: 9 }), delay: fc.constantFrom('0ms', '1s', '2s') }),
      down: record({
        after: fc.integer({ min: 1, max: 100 }),
        quorum: fc.constantFrom<'any' | 2>('any', 2),
        minRegions: fc.constant(2),
      }),
      robots: fc.constantFrom('respect' as const, 'ignore' as const),
      evidence: record({ body: fc.boolean(), trace: fc.boolean() }),
      tags: fc.dictionary(word, text, { maxKeys: 3 }),
      alert: fc.uniqueArray(word, { maxLength: 2 }),
      request: maybe(request),
      expect: maybe(expectation),
    },
    { requiredKeys: ['name', 'url'] },
  );
  return good as unknown as fc.Arbitrary<EndpointDocument>;
}
