import * as z from 'zod';
import type { EncodedAssignment } from './assignment.ts';
import type { Observation } from './result.ts';

/** A check that a person asked for now, from chosen regions: run once, answered straight to the hub, never stored. */
export const orderSchema = z.object({
  /** 32 lower-case hex digits. */
  id: z.string().regex(/^[0-9a-f]{32}$/),
  /** Its id stands for no endpoint. */
  assignment: z.custom<EncodedAssignment>((value) => value !== null && typeof value === 'object'),
  /** Hub time, epoch microseconds: an answer after it is for nobody. */
  untilUs: z.int(),
});
export type Order = z.output<typeof orderSchema>;

export const orderPath = (id: string) => `/v1/orders/${id}`;
/** From the order to the answer. */
export const orderMs = 10_000;
/** Ids of assignments that are no endpoint's begin here. */
export const firstOrderId = 2 ** 52;

/** What a probe answers. */
export const orderAnswerSchema = z.object({
  /** Hub time, epoch microseconds. */
  startedAt: z.int(),
  suspect: z.boolean(),
  observation: z.looseObject({
    outcome: z.enum(['up', 'degraded', 'down', 'skipped']),
    failure: z
      .object({ code: z.string().max(64), source: z.string().max(16), message: z.string().max(400) })
      .nullable(),
    status: z.int().nullable(),
    httpVersion: z.string().max(16).nullable(),
    remoteIp: z.string().max(45).nullable(),
    redirects: z.int(),
    timings: z.object({
      dns: z.int().nullable(),
      connect: z.int().nullable(),
      tls: z.int().nullable(),
      wait: z.int().nullable(),
      transfer: z.int().nullable(),
      total: z.int(),
    }),
    bytes: z.int(),
    truncated: z.boolean(),
    tls: z
      .object({
        version: z.string().max(32),
        cipher: z.string().max(100),
        notAfter: z.int(),
        issuer: z.string().max(200),
        fingerprint: z.string().max(64),
      })
      .nullable(),
    facts: z.record(z.string(), z.unknown()).nullable(),
  }),
});
export type OrderAnswer = Omit<z.output<typeof orderAnswerSchema>, 'observation'> & {
  readonly observation: Observation;
};
/** Most bytes of an answer. */
export const maxOrderAnswerBytes = 16_384;
