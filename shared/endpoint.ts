import * as z from 'zod';
import { duration, formatDuration } from './duration.ts';
import { sealableFields, secretField } from './endpoint-secrets.ts';
import type { ProtocolRules } from './protocol-rules.ts';
import { type ExpectOf, type ProtocolName, protocolNames, protocols, type RequestOf } from './protocols.ts';

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
  /** What is told of a failure beside what always is; `trace` sends a `traceparent` header with each check (W3C). */
  evidence: z
    .strictObject({ body: z.boolean().default(false), trace: z.boolean().default(false) })
    .prefault({}),
  alert: distinct(z.string().min(1).max(100), 100).default([]),
  /** Places in `request` to be sealed beside those that always are (endpoint-secrets.ts). Taken in, never shown. */
  secrets: z.array(secretPlace).max(200).optional(),
};

/** At most one text's length of a URL that is no URL, and never what stands before an @. */
function urlField(rules: ProtocolRules) {
  return z
    .string()
    .max(2048)
    .superRefine((text, context) => {
      const url = URL.parse(text);
      const problem = !url
        ? `'${text}' is not a URL`
        : url.username || url.password
          ? 'a URL holds no user name or password: use request.basicAuth'
          : rules.url(url);
      if (problem) context.addIssue({ code: 'custom', message: problem });
    });
}

const baseObject = z.strictObject({ ...baseShape, url: z.string() });

/** An endpoint with its defaults filled in; durations in integer milliseconds. */
export type EndpointOf<P extends ProtocolName> = z.output<typeof baseObject> & {
  readonly request: RequestOf<P>;
  readonly expect: ExpectOf<P>;
};
export type Endpoint = { [P in ProtocolName]: EndpointOf<P> }[ProtocolName];

/** An endpoint as a person writes it; `z.encode(schema, endpoint)` leads back here. */
export type EndpointDocumentOf<P extends ProtocolName> = z.input<typeof baseObject> & {
  readonly request?: z.input<(typeof protocols)[P]['request']> | undefined;
  readonly expect?: z.input<(typeof protocols)[P]['expect']> | undefined;
};
export type EndpointDocument = { [P in ProtocolName]: EndpointDocumentOf<P> }[ProtocolName];

type EndpointSchemas = { readonly [P in ProtocolName]: z.ZodType<EndpointOf<P>, EndpointDocumentOf<P>> };

/** The whole document, a schema a protocol: which one is told by the URL's scheme. */
export const endpointSchemas = Object.fromEntries(
  protocolNames.map((protocol) => [protocol, endpointSchemaOf(protocols[protocol])]),
) as unknown as EndpointSchemas;

function endpointSchemaOf(rules: ProtocolRules) {
  return z
    .strictObject({
      ...baseShape,
      url: urlField(rules),
      request: rules.request.prefault({}),
      expect: rules.expect.prefault({}),
    })
    .superRefine((value, context) => {
      for (const { path, message } of [
        ...baseConflicts(value),
        ...evidenceConflicts(value, rules),
        ...(rules.conflicts?.(value) ?? []),
      ]) {
        context.addIssue({ code: 'custom', path: [...path], message });
      }
    });
}

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

function* evidenceConflicts(
  { evidence, request }: { readonly evidence: Endpoint['evidence']; readonly request: unknown },
  { evidence: can = [], schemes }: ProtocolRules,
): Generator<{ path: readonly string[]; message: string }> {
  for (const what of ['body', 'trace'] as const) {
    if (!evidence[what] || can.includes(what)) continue;
    const lacks = what === 'body' ? 'no body to show' : 'no header to carry it';
    yield { path: ['evidence', what], message: `cannot be had: a check of ${schemes[0]}:// has ${lacks}` };
  }
  if (!evidence.trace) return;
  const { headers, metadata } = request as Readonly<Record<string, object | undefined>>;
  for (const [part, fields] of Object.entries({ headers, metadata })) {
    const own = Object.keys(fields ?? {}).find((name) => name.toLowerCase() === 'traceparent');
    if (own !== undefined)
      yield {
        path: ['request', part, own],
        message: 'is written by the probe itself: evidence.trace asks for it',
      };
  }
}

/** Total deadline of one attempt, milliseconds: what is written, else min(10 s, interval / 2). */
export function timeoutOf(endpoint: {
  readonly timeout?: number | undefined;
  readonly interval: number;
}): number {
  return endpoint.timeout ?? Math.min(10_000, Math.floor(endpoint.interval / 2));
}

export { sealedMark } from './endpoint-secrets.ts';
export { protocolOfUrl } from './protocols.ts';
