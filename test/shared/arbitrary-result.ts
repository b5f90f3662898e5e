import fc from 'fast-check';
import type { Batch, Gap } from '../../shared/batch.ts';
import { failure, failureCodes, outcomeOf } from '../../shared/failure.ts';
import { type Result, resultKinds } from '../../shared/result.ts';

const id = fc.integer({ min: 1, max: 2 ** 40 });
const us = fc.integer({ min: 0, max: 86_400_000_000 });
const phase = fc.option(us);
/** Epoch microseconds of this century. */
const instant = fc.integer({ min: 1_000_000_000_000_000, max: 4_000_000_000_000_000 });

export const arbitraryResult = (probeId: number, regionId: number): fc.Arbitrary<Result> =>
  fc
    .record({
      endpointId: id,
      rev: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      kind: fc.constantFrom(...resultKinds),
      scheduledAt: instant,
      lateBy: fc.integer({ min: -1_000_000, max: 10_000_000_000 }),
      attempts: fc.integer({ min: 0, max: 11 }),
      code: fc.option(fc.constantFrom(...failureCodes)),
      message: fc.string({ unit: 'grapheme', maxLength: 300 }),
      firstFailure: fc.option(fc.constantFrom(...failureCodes)),
      suspect: fc.boolean(),
      status: fc.option(fc.integer({ min: 100, max: 599 })),
      httpVersion: fc.option(fc.constantFrom('1.0', '1.1', '2')),
      remoteIp: fc.option(fc.oneof(fc.ipV4(), fc.ipV6())),
      redirects: fc.integer({ min: 0, max: 20 }),
      timings: fc.record({ dns: phase, connect: phase, tls: phase, wait: phase, transfer: phase, total: us }),
      bytes: fc.integer({ min: 0, max: 2 ** 45 }),
      truncated: fc.boolean(),
      facts: fc.option(
        fc.dictionary(
          fc.stringMatching(/^[a-z]{1,8}$/),
          fc.oneof(
            fc.string({ maxLength: 40 }).filter((text) => !text.includes('\0') && text.isWellFormed()),
            fc.integer(),
            fc.boolean(),
            fc.array(fc.integer(), { maxLength: 4 }),
          ),
          { maxKeys: 4, noNullPrototype: true },
        ),
        { nil: null },
      ),
      evidence: fc.option(fc.constantFrom('{}', '{"phase":"wait"}'), { nil: null }),
      tls: fc.option(
        fc.record({
          version: fc.constantFrom('TLSv1.2', 'TLSv1.3'),
          cipher: fc.string({ maxLength: 40 }),
          notAfter: fc.integer({ min: -62_135_596_800, max: 253_402_300_799 }),
          issuer: fc.string({ unit: 'grapheme', maxLength: 60 }),
          fingerprint: fc.string({
            unit: fc.constantFrom(...'0123456789abcdef'),
            minLength: 64,
            maxLength: 64,
          }),
        }),
      ),
    })
    .map(({ code, message, ...rest }) => ({
      ...rest,
      regionId,
      probeId,
      startedAt: rest.scheduledAt + rest.lateBy,
      outcome: code === null ? 'up' : outcomeOf(code),
      failure: code === null ? null : failure(code, message),
    }));

const arbitraryGap: fc.Arbitrary<Gap> = fc.record({
  fromSeq: id,
  toSeq: id,
  results: fc.integer({ min: 0, max: 2 ** 40 }),
  fromScheduledAt: instant,
  toScheduledAt: instant,
  reason: fc.string({ unit: 'grapheme', maxLength: 50 }),
});

export const arbitraryBatch: fc.Arbitrary<Batch> = fc
  .record({ probeId: id, regionId: fc.integer({ min: 1, max: 32_767 }) })
  .chain(({ probeId, regionId }) =>
    fc.record({
      probeId: fc.constant(probeId),
      regionId: fc.constant(regionId),
      stream: fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 32, maxLength: 32 }),
      seq: id,
      leaseVersion: instant,
      sealedAt: instant,
      results: fc.array(arbitraryResult(probeId, regionId), { maxLength: 20 }),
      gaps: fc.array(arbitraryGap, { maxLength: 3 }),
    }),
  );
