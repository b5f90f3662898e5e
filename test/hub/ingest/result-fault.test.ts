import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { resultFault } from '../../../hub/ingest/result-fault.ts';
import { failure, failureCodes, outcomeOf } from '../../../shared/failure.ts';
import type { Result } from '../../../shared/result.ts';
import { resultOf } from './scene.ts';

const nowUs = 1_790_000_000_000_000;
const newestUs = nowUs + 60_000_000;
const probe = { id: 1, regionId: 1 } as Parameters<typeof resultOf>[0];
const good = (over: Partial<Result> = {}) => resultOf(probe, nowUs, over);
const refused = failure('connect.refused', 'x');
const facts = {
  version: 'TLSv1.3',
  cipher: 'TLS_AES_128_GCM_SHA256',
  notAfter: 1_900_000_000,
  issuer: 'CN=x',
  fingerprint: 'ab'.repeat(32),
};

test.each<[string, Partial<Result>]>([
  ['as a probe sends it', {}],
  [
    'with everything unreached',
    { timings: { dns: null, connect: null, tls: null, wait: null, transfer: null, total: 0 } },
  ],
  ['with an IPv6 address', { remoteIp: '2001:db8::1' }],
  ['with certificate facts', { tls: facts }],
  ['degraded for being slow', { outcome: 'degraded' }],
  ['that started a little before its slot by a slewed clock', { lateBy: -900, startedAt: nowUs - 900 }],
  ['that a machine asleep for three days speaks of', { lateBy: 3 * 86_400_000_000, startedAt: nowUs }],
  ['exactly as far ahead as allowed', { scheduledAt: newestUs, startedAt: newestUs }],
])('a result %s is taken', (_, over) => {
  expect(resultFault(good(over), newestUs)).toBeNull();
});

test.each(failureCodes)('a result that failed with %s is taken', (code) => {
  expect(resultFault(good({ outcome: outcomeOf(code), failure: failure(code, 'why') }), newestUs)).toBeNull();
});

describe('refused is a result', () => {
  const timings = good().timings;
  test.each<[string, Partial<Result>, RegExp]>([
    ['of endpoint 0', { endpointId: 0 }, /endpointId is 0/],
    ['of a negative endpoint', { endpointId: -1 }, /endpointId/],
    ['of revision 0', { rev: 0 }, /rev/],
    ['of a revision past int4', { rev: 2 ** 31 }, /rev/],
    ['from before 1970', { scheduledAt: -1 }, /scheduledAt/],
    ['much earlier than its slot', { lateBy: -2_000_000 }, /lateBy/],
    ['two months late', { lateBy: 60 * 86_400_000_000, startedAt: nowUs }, /lateBy/],
    ['with negative attempts', { attempts: -1 }, /attempts/],
    ['with a thousand attempts', { attempts: 1000 }, /attempts/],
    ['with negative redirects', { redirects: -1 }, /redirects/],
    ['with negative bytes', { bytes: -1 }, /bytes/],
    ['with a status of four digits', { status: 1000 }, /status/],
    ['with a negative status', { status: -1 }, /status/],
    ['with negative dns', { timings: { ...timings, dns: -1 } }, /dns/],
    ['with negative connect', { timings: { ...timings, connect: -1 } }, /connect/],
    ['with negative tls', { timings: { ...timings, tls: -1 } }, /tls/],
    ['with negative wait', { timings: { ...timings, wait: -1 } }, /wait/],
    ['with negative transfer', { timings: { ...timings, transfer: -1 } }, /transfer/],
    ['with negative total', { timings: { ...timings, total: -1 } }, /total/],
    ['that took two days', { timings: { ...timings, total: 2 * 86_400_000_000 } }, /total/],
    ['with a long HTTP version', { httpVersion: '1'.repeat(17) }, /httpVersion/],
    ['with a name for an address', { remoteIp: 'example.com' }, /remoteIp/],
    ['with an address and a port', { remoteIp: '1.2.3.4:80' }, /remoteIp/],
    ['with an endless address', { remoteIp: `${'0:'.repeat(40)}1` }, /remoteIp/],
    ['up with a failure', { failure: refused }, /up with connect.refused/],
    ['down without one', { outcome: 'down' }, /down without a failure/],
    ['skipped without one', { outcome: 'skipped' }, /skipped without/],
    ['skipped for what is the target', { outcome: 'skipped', failure: refused }, /skipped with connect/],
    ['down for what is the probe', { outcome: 'down', failure: failure('probe.internal', '') }, /down with/],
    [
      'with a message over 200 bytes',
      { outcome: 'down', failure: { ...refused, message: 'ä'.repeat(101) } },
      /200 bytes/,
    ],
    ['with NUL in its message', { outcome: 'down', failure: { ...refused, message: 'a\0b' } }, /NUL/],
    ['with an issuer over 200 bytes', { tls: { ...facts, issuer: 'x'.repeat(201) } }, /issuer/],
    ['with NUL in its issuer', { tls: { ...facts, issuer: '\0' } }, /NUL/],
    ['with a fingerprint that is none', { tls: { ...facts, fingerprint: 'zz' } }, /fingerprint/],
    ['with a certificate past year 9999', { tls: { ...facts, notAfter: 1e15 } }, /notAfter/],
  ])('%s', (_, over, detail) => {
    expect(resultFault(good(over), newestUs)).toMatchObject({
      reason: 'result_invalid',
      detail: expect.stringMatching(detail),
    });
  });

  test.each<[string, Partial<Result>]>([
    ['is', { scheduledAt: newestUs + 1 }],
    ['began', { startedAt: newestUs + 1 }],
  ])('that %s in the future', (_, over) => {
    expect(resultFault(good(over), newestUs)?.reason).toBe('future');
  });
});

test('no number, however odd, is taken where it would not fit its column', () => {
  const odd = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.constantFrom(2 ** 31, -(2 ** 31), 2 ** 63),
  );
  fc.assert(
    fc.property(odd, fc.constantFrom('rev', 'attempts', 'redirects', 'status', 'bytes'), (value, field) => {
      const fits = {
        rev: 2 ** 31 - 1,
        attempts: 32_767,
        redirects: 32_767,
        status: 32_767,
        bytes: 2 ** 53 - 1,
      };
      if (resultFault(good({ [field]: value }), newestUs) === null) {
        expect(Number.isInteger(value) && value >= 0 && value <= fits[field as keyof typeof fits]).toBe(true);
      }
    }),
  );
});
