import * as z from 'zod';
import { dnsQuestionOf, dnsRcodes } from './dns-question.ts';
import { duration } from './duration.ts';
import { patternSchema } from './pattern.ts';
import type { Conflict, ProtocolRules } from './protocol-rules.ts';
import { reachFields, serverNameField, tlsConflicts, tlsField } from './request-parts.ts';

/** How a question is put, and to whom. */
export const dnsRequestSchema = z.strictObject({
  /** An answer over UDP that was cut off is asked for again over TCP. `tls`: DNS over TLS (RFC 7858). */
  transport: z.enum(['udp', 'tcp', 'tls']).default('udp'),
  /** Whether the server shall find what it does not know (RD). Name servers of a zone are never asked to. */
  recursion: z.boolean().default(true),
  /** Whether signatures are asked for (DO). */
  dnssec: z.boolean().default(false),
  /**
   * `one`: the URL's server, else the machine's resolvers until one answers. `each`: every name server of the zone,
   * found through that server or those resolvers.
   */
  nameservers: z.enum(['one', 'each']).default('one'),
  ...reachFields,
  serverName: serverNameField,
  tls: tlsField,
});
export type DnsRequest = z.output<typeof dnsRequestSchema>;

const patterns = z.array(patternSchema).max(20).default([]);

/**
 * Patterns are held against records as master files have them, with tabs between the parts:
 * `shop.example.\t300\tIN\tA\t192.0.2.1`. Names in lower case and with their last dot.
 */
const recordFields = {
  /** Each is found in one record at least. */
  matches: patterns,
  /** Each is found in none. */
  notMatches: patterns,
  /** Each is found in every record. */
  everyMatches: patterns,
};
export type RecordPatterns = z.output<typeof recordsField>;
const recordsField = z.strictObject(recordFields).prefault({});

const rcode = z.enum(dnsRcodes);
/** One or several: the shorter form is written. */
const rcodes = z.codec(z.union([rcode, z.array(rcode).min(1).max(20)]), z.array(rcode), {
  decode: (written) => (typeof written === 'string' ? [written] : written),
  encode: (list) => (list.length === 1 ? (list[0] ?? list) : list),
});

const flag = z.boolean().optional();

export const dnsExpectSchema = z.strictObject({
  rcode: rcodes.default(['NOERROR']),
  answers: z
    .strictObject({
      ...recordFields,
      /** The data of all records of the type that was asked for, in any order: `10 mail.example.`, `192.0.2.1`. */
      equals: z.array(z.string().max(1024)).max(100).optional(),
    })
    .prefault({}),
  authority: recordsField,
  additional: recordsField,
  /** True: it is set, false: it is not. */
  flags: z.strictObject({ aa: flag, tc: flag, rd: flag, ra: flag, ad: flag, cd: flag }).prefault({}),
  /** Records of the type that was asked for, where the code is NOERROR. */
  minAnswers: z.int().min(0).max(1000).default(1),
  /** Of each record in the answer section. */
  ttl: z
    .strictObject({ min: duration('0s', '1000d').optional(), max: duration('0s', '1000d').optional() })
    .prefault({}),
  /** With `nameservers: each`: all of them hold the same version of the zone. */
  sameSerial: z.boolean().default(true),
  /** With transport `tls`. */
  certDays: z.int().min(0).max(3650).default(14),
  slowerThan: duration('1ms', '10m').optional(),
});
export type DnsExpect = z.output<typeof dnsExpectSchema>;

function* conflicts(url: string, request: DnsRequest, expect: DnsExpect): Generator<Conflict> {
  const { transport, nameservers, resolveTo, serverName, tls } = request;
  yield* tlsConflicts(tls);
  const parsed = URL.parse(url);
  const asked = parsed && dnsQuestionOf(parsed);
  const hasServer = asked !== null && 'name' in asked && asked.server !== null;
  if (nameservers === 'each' && transport === 'tls')
    yield {
      path: ['request', 'transport'],
      message: 'the name servers of a zone are asked over udp or tcp',
    };
  if (resolveTo !== undefined && !hasServer)
    yield { path: ['request', 'resolveTo'], message: 'needs a server in the URL, whose address it is' };
  if (transport === 'tls' && !hasServer)
    yield { path: ['request', 'transport'], message: 'tls needs a server in the URL: dns://server/name' };
  if (serverName !== undefined && transport !== 'tls')
    yield { path: ['request', 'serverName'], message: 'is only for transport tls' };
  const { min = 0, max = Number.POSITIVE_INFINITY } = expect.ttl;
  if (min > max) yield { path: ['expect', 'ttl', 'min'], message: 'is more than max' };
}

export const dnsRules = {
  schemes: ['dns'],
  request: dnsRequestSchema,
  expect: dnsExpectSchema,
  url(url) {
    const asked = dnsQuestionOf(url);
    return 'problem' in asked ? asked.problem : null;
  },
  conflicts: ({ url, request, expect }) => conflicts(url, request, expect),
} as const satisfies ProtocolRules<typeof dnsRequestSchema, typeof dnsExpectSchema>;
