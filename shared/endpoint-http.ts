import * as z from 'zod';
import { byteSize, duration } from './duration.ts';
import { patternSchema } from './pattern.ts';

/** What an http(s) endpoint may ask. Secrets are plain text here; at rest and in answers they are sealed. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const headerName = z.string().regex(token, 'not a header name (RFC 9110 token)').max(256);
const headerValue = z
  .string()
  .max(8192)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  .regex(/^[^\u0000-\u0008\u000a-\u001f\u007f]*$/, 'a header value holds no control characters');

export const httpMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

export const httpRequestSchema = z.strictObject({
  method: z.enum(httpMethods).default('GET'),
  headers: z.record(headerName, headerValue).default({}),
  body: z.string().max(65_536).default(''),
  basicAuth: z.strictObject({ username: z.string().max(1024), password: z.string().max(1024) }).optional(),
  bearer: z.string().max(8192).optional(),
  redirects: z.int().min(0).max(20).default(5),
  ipFamily: z.enum(['any', '4', '6']).default('any'),
  resolveTo: z.union([z.ipv4(), z.ipv6()]).optional(),
  serverName: z.hostname().optional(),
  httpVersion: z.enum(['1.1', '2']).default('1.1'),
  proxy: z.string().max(2048).optional(),
  compression: z.enum(['identity', 'gzip', 'br', 'deflate', 'zstd', 'any']).default('any'),
  tls: z
    .strictObject({
      verify: z.boolean().default(true),
      ca: z.string().max(65_536).optional(),
      cert: z.string().max(65_536).optional(),
      key: z.string().max(65_536).optional(),
      minVersion: z.enum(['1.0', '1.1', '1.2', '1.3']).default('1.2'),
    })
    .prefault({}),
});
export type HttpRequest = z.output<typeof httpRequestSchema>;

const statusText = z
  .string()
  .regex(/^([1-5]xx|[1-5]\d\d(-[1-5]\d\d)?)$/, "a status is written '2xx', '200' or '200-204'");
/** YAML reads 200 as a number: both are welcome. */
const statusPattern = z.codec(z.union([z.string(), z.int()]), statusText, {
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

export const httpExpectSchema = z.strictObject({
  status: z.array(statusPattern).min(1).default(['2xx']),
  httpVersions: z.array(z.enum(['1.0', '1.1', '2'])).default([]),
  headers: z
    .array(
      z.strictObject({
        name: headerName,
        matches: patternSchema.optional(),
        notMatches: patternSchema.optional(),
        allowMissing: z.boolean().default(false),
      }),
    )
    .max(50)
    .default([]),
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
