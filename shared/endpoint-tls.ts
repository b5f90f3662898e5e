import * as z from 'zod';
import { duration } from './duration.ts';
import { starttlsField } from './endpoint-tcp.ts';
import { patternSchema } from './pattern.ts';
import type { ProtocolRules } from './protocol-rules.ts';
import { reachFields, serverNameField, tlsConflicts, tlsField, versionOf } from './request-parts.ts';
import { socketPlaceOf } from './socket-url.ts';
import { starttlsPorts } from './starttls.ts';

/** What a tls endpoint may ask: a handshake, and nothing after it. */
export const tlsRequestSchema = z.strictObject({
  /** What is said before the handshake, so that it is a mail server's certificate, say, that is looked at. */
  starttls: starttlsField,
  /** Protocols that are offered (ALPN), in this order. */
  alpn: z
    .array(
      z
        .string()
        .min(1)
        .max(50)
        .regex(/^[\x21-\x7e]+$/, 'is not the name of a protocol, like h2 or imap'),
    )
    .max(10)
    .default([]),
  ...reachFields,
  serverName: serverNameField,
  tls: tlsField,
});
export type TlsEndpointRequest = z.output<typeof tlsRequestSchema>;

/** As openssl prints it, with colons, or without them; in lower case and bare inside. */
const fingerprint = z.codec(
  z.string().max(200),
  z.string().regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 fingerprint of 64 hexadecimal digits'),
  {
    decode: (written) => written.replaceAll(':', '').toLowerCase(),
    encode: (digits) => digits,
  },
);

const publicKey = z
  .string()
  .regex(/^[A-Za-z0-9+/]{43}=$/, 'is not the base64 of a SHA-256, 44 characters with = at the end');

const patterns = z.array(patternSchema).max(20).default([]);
const versions = ['1.0', '1.1', '1.2', '1.3'] as const;

export const tlsExpectSchema = z.strictObject({
  /** SHA-256 of the certificate: it is one of these. */
  fingerprints: z.array(fingerprint).max(20).default([]),
  /** SHA-256 of its public key (RFC 7469, section 2.4): it is one of these, whoever signed the certificate. */
  publicKeys: z.array(publicKey).max(20).default([]),
  /** As `C=US, O=Let's Encrypt, CN=R11`. */
  issuer: z.strictObject({ matches: patterns, notMatches: patterns }).prefault({}),
  /** Each is a name or address that the certificate is for, by itself or by a wildcard. */
  names: z
    .array(z.union([z.hostname(), z.ipv4(), z.ipv6()]))
    .max(50)
    .default([]),
  /** Of what was agreed on; what is offered is for request.tls.minVersion to say. */
  minVersion: versionOf(versions).optional(),
  maxVersion: versionOf(versions).optional(),
  /** `stapled`: a statement of the authority (RFC 6066, section 8) comes along; `good`: and it says so. */
  ocsp: z.enum(['any', 'stapled', 'good']).default('any'),
  certDays: z.int().min(0).max(3650).default(14),
  slowerThan: duration('1ms', '10m').optional(),
});
export type TlsExpect = z.output<typeof tlsExpectSchema>;

/** The port where the URL has none: the preset's, else that of https. */
export function tlsPortOf({ starttls }: Pick<TlsEndpointRequest, 'starttls'>): number {
  return starttls === undefined ? 443 : starttlsPorts[starttls];
}

export const tlsRules = {
  schemes: ['tls'],
  request: tlsRequestSchema,
  expect: tlsExpectSchema,
  url(url) {
    const place = socketPlaceOf(url, 443);
    return 'problem' in place ? place.problem : null;
  },
  *conflicts({ request, expect }) {
    yield* tlsConflicts(request.tls);
    const { minVersion = '1.0', maxVersion = '1.3' } = expect;
    if (minVersion > maxVersion) yield { path: ['expect', 'minVersion'], message: 'is above maxVersion' };
    if (maxVersion < request.tls.minVersion)
      yield {
        path: ['expect', 'maxVersion'],
        message: `is below request.tls.minVersion, ${request.tls.minVersion}: no server can do that`,
      };
  },
} as const satisfies ProtocolRules<typeof tlsRequestSchema, typeof tlsExpectSchema>;
