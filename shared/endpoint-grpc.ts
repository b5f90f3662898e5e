import * as z from 'zod';
import { duration } from './duration.ts';
import type { Conflict, ProtocolRules } from './protocol-rules.ts';
import { reachFields, serverNameField, tlsConflicts, tlsField } from './request-parts.ts';

/** What a grpc(s) endpoint may ask: the standard health service, grpc.health.v1.Health/Check. */

/** By their numbers. */
export const grpcStatusNames = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

/** HealthCheckResponse.ServingStatus, by their numbers. */
export const healthNames = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;

/** Written as a name or a number; a number inside. */
const grpcStatus = z.codec(z.union([z.enum(grpcStatusNames), z.int()]), z.int().min(0).max(16), {
  decode: (written) => (typeof written === 'number' ? written : grpcStatusNames.indexOf(written)),
  encode: (code) => grpcStatusNames[code] ?? code,
});

/** What the probe writes itself, or what would break HTTP/2's framing (RFC 9113, section 8.2.2). */
const ownFields =
  /^(grpc-.*|te|content-type|content-length|host|connection|keep-alive|proxy-connection|transfer-encoding|upgrade)$/;

const metadata = z
  .record(
    z
      .string()
      .max(256)
      .regex(/^[0-9a-z_.-]+$/, 'a name of metadata is lower-case letters, digits and _ . -')
      .refine((name) => !ownFields.test(name), 'is written by the probe itself'),
    z
      .string()
      .max(8192)
      .regex(/^[\x20-\x7e]*$/, 'a value of metadata is printable ASCII (base64 where the name ends in -bin)'),
  )
  .refine((value) => Object.keys(value).length <= 50, 'must have at most 50 entries');

export const grpcRequestSchema = z.strictObject({
  /** Whose health is asked for; the URL's path says the same. Empty: the server's as a whole. */
  service: z
    .string()
    .max(255)
    .regex(/^[A-Za-z0-9_./-]*$/, 'is not the name of a service, like shop.v1.Orders')
    .optional(),
  /** In place of the URL's host and port. */
  authority: z
    .string()
    .max(255)
    .regex(/^[A-Za-z0-9.\-_[\]:]+$/, 'is not a host, or a host and a port')
    .optional(),
  metadata: metadata.default({}),
  ...reachFields,
  serverName: serverNameField,
  tls: tlsField,
});
export type GrpcRequest = z.output<typeof grpcRequestSchema>;

export const grpcExpectSchema = z.strictObject({
  /** Of the call. Where it is another than OK there is no health to look at. */
  grpcStatus: z.array(grpcStatus).min(1).default([0]),
  /** What the service may say of itself. */
  status: z.array(z.enum(healthNames)).min(1).default(['SERVING']),
  certDays: z.int().min(0).max(3650).default(14),
  slowerThan: duration('1ms', '10m').optional(),
});
export type GrpcExpect = z.output<typeof grpcExpectSchema>;

/** The service that a URL's path names; empty for none. */
export function serviceOfUrl(url: URL): string {
  return url.pathname.replace(/^\//, '');
}

function* grpcConflicts(url: string, request: GrpcRequest): Generator<Conflict> {
  yield* tlsConflicts(request.tls);
  const parsed = URL.parse(url);
  const named = parsed ? serviceOfUrl(parsed) : '';
  if (named !== '' && request.service !== undefined && request.service !== named)
    yield { path: ['request', 'service'], message: `is another than the URL's, '${named}'` };
}

export const grpcRules = {
  schemes: ['grpc', 'grpcs'],
  evidence: ['trace'],
  request: grpcRequestSchema,
  expect: grpcExpectSchema,
  url(url) {
    // Of schemes that it does not know, the URL standard checks no host: as http it would.
    const host = URL.parse(url.href.replace(/^grpc/, 'http'))?.hostname;
    if (!url.hostname || !host) return 'the URL has no host';
    if (url.search || url.hash) return 'the URL of a gRPC server has no query string and no fragment';
    if (!/^\/?[A-Za-z0-9_./-]*$/.test(url.pathname))
      return 'its path is not the name of a service, like /shop.v1.Orders';
    return null;
  },
  conflicts: ({ url, request }) => grpcConflicts(url, request),
} as const satisfies ProtocolRules<typeof grpcRequestSchema, typeof grpcExpectSchema>;
