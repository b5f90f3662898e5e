import * as z from 'zod';
import { duration, formatDuration } from './duration.ts';
import { httpConflicts, httpExpectSchema, httpRequestSchema } from './endpoint-http.ts';
import { sealableFields, secretField } from './endpoint-secrets.ts';

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

/** A list in which nothing stands twice. */
function distinct<T extends z.ZodType<string>>(schema: T, most: number) {
  return z
    .array(schema)
    .max(most)
    .superRefine((list, context) => {
      for (const [index, entry] of list.entries()) {
        if (list.indexOf(entry) === index) continue;
        context.addIssue({ code: 'custom', path: [index], message: `'${entry}' stands here twice` });
      }
    });
}

const secretPlace = z
  .string()
  .max(300)
  .refine((field) => secretField(field) !== null, `must be one of ${sealableFields.join(', ')}`);

/** Fields that every protocol's endpoint has. */
const baseShape = {
  name,
  /** The name it had: its id and history stay. Means nothing where there is no endpoint of that name. */
  renamedFrom: name.optional(),
  enabled: z.boolean().default(true),
  interval: duration('1s', '1d').default(60_000),
  /** Total deadline of one attempt; default min(10s, interval/2). */
  timeout: duration('10ms', '1d').optional(),
  /** Names of regions; empty means all. */
  regions: distinct(regionNameSchema, 1000).default([]),
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
  tags: z
    .record(
      z
        .string()
        .regex(/^[\p{L}\p{N}][\p{L}\p{N}._/-]{0,62}$/u, 'not a tag name: letters, digits and . _ / -'),
      z.string().max(255),
    )
    .default({}),
  alert: distinct(z.string().min(1).max(100), 100).default([]),
  /** Places in `request` to be sealed beside those that always are (endpoint-secrets.ts). Taken in, never shown. */
  secrets: z.array(secretPlace).max(200).optional(),
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
    for (const { path, message } of [
      ...baseConflicts(value),
      ...httpConflicts(value.request, value.expect),
    ]) {
      context.addIssue({ code: 'custom', path: [...path], message });
    }
  });

interface BaseEndpoint {
  readonly name: string;
  readonly renamedFrom?: string | undefined;
  readonly interval: number;
  readonly timeout?: number | undefined;
  readonly regions: readonly string[];
  readonly retries: { readonly count: number; readonly delay: number };
  readonly down: {
    readonly quorum: 'majority' | 'all' | 'any' | number;
    readonly minRegions?: number | undefined;
  };
}

/** What is good field by field and cannot be together. */
function* baseConflicts(value: BaseEndpoint): Generator<{ path: readonly string[]; message: string }> {
  const { name, renamedFrom, interval, regions, retries, down } = value;
  if (renamedFrom === name) yield { path: ['renamedFrom'], message: 'is the name itself' };
  if (timeoutOf(value) > interval) {
    yield { path: ['timeout'], message: `is longer than the interval of ${formatDuration(interval)}` };
  }
  if (retries.count > 0 && retries.count * retries.delay >= interval) {
    yield {
      path: ['retries'],
      message: `do not end before the next slot, ${formatDuration(interval)} later`,
    };
  }
  if (regions.length === 0) return;
  for (const [field, count] of [
    ['quorum', down.quorum],
    ['minRegions', down.minRegions],
  ] as const) {
    if (typeof count !== 'number' || count <= regions.length) continue;
    yield { path: ['down', field], message: `is more than the number of its regions (${regions.length})` };
  }
}

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

export { sealedMark } from './endpoint-secrets.ts';
