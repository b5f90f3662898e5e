import * as z from 'zod';
import { byteSize, duration } from './duration.ts';
import { patternSchema } from './pattern.ts';
import type { ProtocolRules } from './protocol-rules.ts';
import { isGiven, reachFields, serverNameField, tlsConflicts, tlsField, versionOf } from './request-parts.ts';

/** What an http(s) endpoint may ask. Secrets are plain text here; at rest and in answers they are sealed. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const headerName = z.string().regex(token, 'not a header name (RFC 9110 token)').max(256);
const headerValue = z
  .string()
  .max(8192)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  .regex(/^[^\u0000-\u0008\u000a-\u001f\u007f]*$/, 'a header value holds no control characters');

/** What the probe writes itself: a value of one's own would break the message's framing (RFC 9112 section 6). */
const framing = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

export const headersField = z.record(headerName, headerValue).superRefine((value, context) => {
  const seen = new Map<string, string>();
  for (const name of Object.keys(value)) {
    const plain = name.toLowerCase();
    const twin = seen.get(plain);
    seen.set(plain, name);
    const message = framing.has(plain)
      ? 'is written by the probe itself'
      : twin === undefined
        ? null
        : `is the same header as '${twin}'`;
    if (message) context.addIssue({ code: 'custom', path: [name], message });
  }
  if (seen.size > 100) context.addIssue({ code: 'custom', message: 'must have at most 100 entries' });
});

function isProxy(url: URL | null): boolean {
  return url !== null && url.hostname !== '' && /^(https?|socks5):$/.test(url.protocol);
}

const proxy = z
  .string()
  .max(2048)
  .refine(
    (text) => !isGiven(text) || isProxy(URL.parse(text)),
    'is not a proxy like http://proxy.example:3128 or socks5://proxy.example:1080',
  );

export const httpMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

export const httpRequestSchema = z.strictObject({
  method: z.enum(httpMethods).default('GET'),
  headers: headersField.default({}),
  body: z.string().max(65_536).default(''),
  basicAuth: z.strictObject({ username: z.string().max(1024), password: z.string().max(1024) }).optional(),
  bearer: z.string().max(8192).optional(),
  redirects: z.int().min(0).max(20).default(5),
  ...reachFields,
  /** `each`: every address of the name is asked, over a connection of its own, and the worst answer counts. */
  addresses: z.enum(['any', 'each']).default('any'),
  serverName: serverNameField,
  /** HTTP/2 is spoken over TLS alone. `any`: what the server chooses of the two; a plain request is HTTP/1.1. */
  httpVersion: versionOf(['1.1', '2', 'any']).default('1.1'),
  proxy: proxy.optional(),
  compression: z.enum(['identity', 'gzip', 'br', 'deflate', 'zstd', 'any']).default('any'),
  /** `respect`: after a 429 or 503 no check before the time that Retry-After names, an hour at most. */
  retryAfter: z.enum(['ignore', 'respect']).default('ignore'),
  tls: tlsField,
});
export type HttpRequest = z.output<typeof httpRequestSchema>;

const statusText = z
  .string()
  .regex(/^([1-5]xx|[1-5]\d\d(-[1-5]\d\d)?)$/, "a status is written '2xx', '200' or '200-204'");
/** YAML reads 200 as a number: both are welcome. */
export const statusPattern = z.codec(z.union([z.string(), z.int()]), statusText, {
  decode: String,
  encode: (text) => text,
});

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);

export const jsonExpectationSchema = z
  .strictObject({
    /** RFC 9535 normalised-path subset: $.a.b[0]['c d'] */
    path: z
      .string()
      .max(1024)
      .regex(/^\$(\.[A-Za-z_][\w-]*|\[\d+\]|\['[^']*'\])*$/, "a path is written $.a.b[0]['c d']"),
    equals: scalar.optional(),
    matches: patternSchema.optional(),
    lt: z.number().optional(),
    gt: z.number().optional(),
    exists: z.boolean().optional(),
  })
  .refine(
    (value) => Object.keys(value).length > 1,
    'say what is expected: equals, matches, lt, gt or exists',
  );

export const headerExpectationsField = z
  .array(
    z.strictObject({
      name: headerName,
      matches: patternSchema.optional(),
      notMatches: patternSchema.optional(),
      allowMissing: z.boolean().default(false),
    }),
  )
  .max(50)
  .default([]);

export const httpExpectSchema = z.strictObject({
  status: z.array(statusPattern).min(1).default(['2xx']),
  httpVersions: z.array(versionOf(['1.0', '1.1', '2'])).default([]),
  headers: headerExpectationsField,
  body: z
    .strictObject({
      matches: z.array(patternSchema).max(20).default([]),
      notMatches: z.array(patternSchema).max(20).default([]),
    })
    .prefault({}),
  json: z.array(jsonExpectationSchema).max(50).default([]),
  tls: z.enum(['required', 'forbidden', 'any']).default('any'),
  certDays: z.int().min(0).max(3650).default(14),
  slowerThan: duration('1ms', '10m').optional(),
  maxBodyBytes: byteSize('16MiB').default(1_048_576),
});
export type HttpExpect = z.output<typeof httpExpectSchema>;
export type JsonExpectation = HttpExpect['json'][number];

/** Of the ways to say who asks, one can be sent. */
export function* credentialConflicts({
  headers,
  basicAuth,
  bearer,
}: Pick<HttpRequest, 'headers' | 'basicAuth' | 'bearer'>): Generator<{
  path: readonly string[];
  message: string;
}> {
  const ways = [
    ...(basicAuth ? ['basicAuth'] : []),
    ...(bearer === undefined ? [] : ['bearer']),
    ...Object.keys(headers)
      .filter((name) => name.toLowerCase() === 'authorization')
      .map((name) => `headers.${name}`),
  ];
  if (ways.length > 1)
    yield { path: ['request'], message: `has ${ways.join(' and ')}: only one can be sent` };
}

/** What is good field by field and cannot be together. */
export function* httpConflicts(
  url: string,
  request: HttpRequest,
  expect: HttpExpect,
): Generator<{ path: readonly (string | number)[]; message: string }> {
  const { tls, method } = request;
  yield* credentialConflicts(request);
  yield* tlsConflicts(tls);
  if (request.httpVersion === '2' && /^http:/i.test(url))
    yield { path: ['request', 'httpVersion'], message: 'needs an https URL: HTTP/2 is spoken over TLS only' };
  if (request.addresses === 'each') {
    const other =
      request.resolveTo !== undefined ? 'resolveTo' : request.proxy !== undefined ? 'proxy' : null;
    if (other !== null)
      yield {
        path: ['request', 'addresses'],
        message: `cannot be 'each' beside ${other}: it is not the name's addresses that are asked`,
      };
  }
  if (method !== 'HEAD') return;
  const bodies = [...expect.body.matches, ...expect.body.notMatches];
  if (bodies.length > 0) yield { path: ['expect', 'body'], message: 'an answer to HEAD has no body' };
  if (expect.json.length > 0) yield { path: ['expect', 'json'], message: 'an answer to HEAD has no body' };
}

export const httpRules = {
  schemes: ['http', 'https'],
  evidence: ['body', 'trace'],
  request: httpRequestSchema,
  expect: httpExpectSchema,
  url: (url) => (url.hostname ? null : 'the URL has no host'),
  conflicts: ({ url, request, expect }) => httpConflicts(url, request, expect),
} as const satisfies ProtocolRules<typeof httpRequestSchema, typeof httpExpectSchema>;
