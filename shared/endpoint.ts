import * as z from 'zod';
import { duration } from './duration.ts';
import { httpExpectSchema, httpRequestSchema } from './endpoint-http.ts';

const name = z
  .string()
  .min(1)
  .max(100)
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N} ._:/-]*$/u,
    'a name begins with a letter or digit and holds letters, digits, spaces and . _ : / -',
  );
export const regionNameSchema = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, 'a region is written in lower-case letters, digits and hyphens');

const quorum = z.union([z.enum(['majority', 'all', 'any']), z.int().positive()]);

/** Fields that every protocol's endpoint has. */
const baseShape = {
  name,
  renamedFrom: name.optional(),
  enabled: z.boolean().default(true),
  interval: duration('1s', '1d').default(60_000),
  /** Total deadline of one attempt; default min(10s, interval/2). */
  timeout: duration('10ms', '1d').optional(),
  /** Names of regions; empty means all. */
  regions: z.array(regionNameSchema).max(1000).default([]),
  replicas: z.int().min(1).max(16).default(1),
  retries: z
    .strictObject({ count: z.int().min(0).max(10).default(0), delay: duration('0ms', '1h').default(1000) })
    .prefault({}),
  down: z
    .strictObject({
      after: z.int().min(1).max(100).default(2),
      up: z.int().min(1).max(100).default(2),
      quorum: quorum.default('majority'),
      minRegions: z.int().positive().optional(),
    })
    .prefault({}),
  robots: z.enum(['ignore', 'respect']).default('ignore'),
  tags: z.record(z.string().min(1).max(63), z.string().max(255)).default({}),
  alert: z.array(z.string().min(1).max(100)).default([]),
};

interface Protocol {
  /** URL schemes, without the colon. */
  readonly schemes: readonly string[];
  readonly schema: typeof httpEndpointSchema;
}

function urlProblem(text: string): string | null {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return `'${text}' is not a URL`;
  }
  if (url.username || url.password) return 'a URL holds no user name or password: use request.basicAuth';
  if (!url.hostname) return 'the URL has no host';
  return null;
}

const urlField = z
  .string()
  .max(2048)
  .superRefine((text, context) => {
    const problem = urlProblem(text);
    if (problem) context.addIssue({ code: 'custom', message: problem });
  });

export const httpEndpointSchema = z
  .strictObject({
    ...baseShape,
    url: urlField,
    request: httpRequestSchema.prefault({}),
    expect: httpExpectSchema.prefault({}),
  })
  .superRefine((value, context) => {
    if (timeoutOf(value) > value.interval) {
      context.addIssue({
        code: 'custom',
        path: ['timeout'],
        message: 'the timeout is longer than the interval',
      });
    }
    const retriesMs = value.retries.count * value.retries.delay;
    if (value.retries.count > 0 && retriesMs >= value.interval) {
      context.addIssue({
        code: 'custom',
        path: ['retries'],
        message: 'the retries do not end before the next slot',
      });
    }
  });

/** Total deadline of one attempt, milliseconds: what is written, else min(10 s, interval / 2). */
export function timeoutOf(endpoint: {
  readonly timeout?: number | undefined;
  readonly interval: number;
}): number {
  return endpoint.timeout ?? Math.min(10_000, Math.floor(endpoint.interval / 2));
}

/** An endpoint with its defaults filled in; durations in integer milliseconds. */
export type Endpoint = z.output<typeof httpEndpointSchema>;
/** An endpoint as a person writes it; `z.encode(schema, endpoint)` leads back here. */
export type EndpointDocument = z.input<typeof httpEndpointSchema>;

/** Adding a protocol is one entry here and one file in probe/checks. */
export const protocols: Readonly<Record<string, Protocol>> = {
  http: { schemes: ['http', 'https'], schema: httpEndpointSchema },
};

export function protocolOfUrl(url: string): string | null {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  for (const [protocol, { schemes }] of Object.entries(protocols)) {
    if (scheme !== undefined && schemes.includes(scheme)) return protocol;
  }
  return null;
}

/** What stands in place of a sealed value wherever an endpoint is shown; sent back unchanged it means "as it was". */
export const sealedMark = '<sealed>';
