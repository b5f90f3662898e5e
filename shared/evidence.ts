import * as z from 'zod';
import { clipUtf8 } from './failure.ts';

/** Most bytes of UTF-8 of one result's evidence as JSON. */
export const maxEvidenceBytes = 8192;
/** Most bytes of an answer's body in it. */
export const maxEvidenceBodyBytes = 2048;

/** What stands in place of a value that may be a secret. */
export const maskedValue = '•••';

/**
 * Headers of a request whose values evidence shows. A probe cannot tell which of the others were sealed, and who wants
 * to know what they say looks at the endpoint.
 */
const shownHeaders = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'connection',
  'content-length',
  'content-type',
  'host',
  'if-modified-since',
  'if-none-match',
  'origin',
  'pragma',
  'range',
  'referer',
  'sec-websocket-extensions',
  'sec-websocket-protocol',
  'sec-websocket-version',
  'te',
  'traceparent',
  'upgrade',
  'user-agent',
]);

/** `name` in lower case. */
export const isShownHeader = (name: string): boolean => shownHeaders.has(name);

export const evidencePhases = ['dns', 'connect', 'tls', 'wait', 'transfer'] as const;

/** One text that a stranger may have written: PostgreSQL's jsonb takes neither NUL nor half a surrogate pair. */
const text = (maxBytes: number) =>
  z
    .string()
    .refine(
      (value) => Buffer.byteLength(value) <= maxBytes && value.isWellFormed() && !value.includes('\0'),
      `must be well-formed text of at most ${maxBytes} bytes without NUL`,
    );

/** Names and values in the order in which they were sent; the same name may stand twice. */
const headers = z.array(z.tuple([text(100), text(300)])).max(64);

const certificateSchema = z.object({
  subject: text(200),
  issuer: text(200),
  /** Epoch seconds. */
  notAfter: z.int(),
  /** SHA-256 of its DER, lower-case hex. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type CertificateEvidence = z.output<typeof certificateSchema>;

/**
 * What was seen when an endpoint failed, for the person who has to find out why. Whatever may be a secret is masked by
 * the probe, before it leaves its machine. What is not known here, as of a newer probe, is left out.
 */
export const evidenceSchema = z.object({
  /** The last request that was sent; null where none was, or the protocol has none. */
  request: z
    .object({
      method: text(32),
      /** Without user name and password; `•••` in place of the values of its query. */
      url: text(1000),
      headers,
      /** The body itself is in no evidence. */
      bodyBytes: z.int().min(0),
    })
    .nullable()
    .default(null),
  response: z
    .object({
      status: z.int().min(0).max(999).nullable(),
      headers,
      /** The beginning, where the endpoint asks for it (`evidence: {body: true}`). */
      body: text(maxEvidenceBodyBytes).nullable().default(null),
    })
    .nullable()
    .default(null),
  /** As the server sent them, its own first. */
  certificates: z.array(certificateSchema).max(10).default([]),
  /** What the name stood for, before any of them was vetted. */
  addresses: z.array(text(64)).max(16).default([]),
  /** The last that was dialled: `203.0.113.7:443`, `[2001:db8::7]:443`. */
  address: text(64).nullable().default(null),
  /** Who said what the name stands for: the servers that may have been asked, or `hosts file`. */
  resolver: text(200).nullable().default(null),
  /** The last phase that began. */
  phase: z.enum(evidencePhases).nullable().default(null),
  /** What the kernel said: `ECONNREFUSED`. */
  errno: text(40).nullable().default(null),
  /** Of the `traceparent` that was sent, 32 hex digits. */
  traceId: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .nullable()
    .default(null),
});
export type Evidence = z.output<typeof evidenceSchema>;

/** Of text that came from whoever; null where it is none that a probe would have written. */
export function readEvidence(json: string): Evidence | null {
  if (json.length > maxEvidenceBytes || Buffer.byteLength(json) > maxEvidenceBytes) return null;
  try {
    return evidenceSchema.safeParse(JSON.parse(json)).data ?? null;
  } catch {
    return null;
  }
}

/** Whether this text, from whoever, may be stored as evidence. */
export const isEvidence = (json: string): boolean => readEvidence(json) !== null;

/** A stranger's text as evidence can hold it. Control characters are no help to a reader, and long in JSON. */
export function evidenceText(value: string, maxBytes: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  return clipUtf8(value.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '\ufffd'), maxBytes);
}

/** As JSON of at most maxEvidenceBytes: what helps least is left out first. */
export function sealEvidence(evidence: Evidence): string {
  let kept = evidence;
  for (const shorter of [halfBody, fewHeaders, halfBody, fewCertificates, noRequestHeaders, noBody]) {
    const json = JSON.stringify(kept);
    if (Buffer.byteLength(json) <= maxEvidenceBytes) return json;
    kept = shorter(kept);
  }
  const json = JSON.stringify(kept);
  return Buffer.byteLength(json) <= maxEvidenceBytes
    ? json
    : JSON.stringify({ ...kept, request: null, response: null });
}

type Shorter = (evidence: Evidence) => Evidence;

const halfBody: Shorter = (evidence) => withBody(evidence, (body) => clipUtf8(body, body.length >> 1));
const noBody: Shorter = (evidence) => withBody(evidence, () => null);

function withBody(evidence: Evidence, change: (body: string) => string | null): Evidence {
  const { response } = evidence;
  if (!response || response.body === null) return evidence;
  return { ...evidence, response: { ...response, body: change(response.body) } };
}

const fewHeaders: Shorter = ({ response, ...rest }) => ({
  ...rest,
  response: response && { ...response, headers: response.headers.slice(0, 12) },
});

const fewCertificates: Shorter = ({ certificates, ...rest }) => ({
  ...rest,
  certificates: certificates.slice(0, 2),
});

const noRequestHeaders: Shorter = ({ request, ...rest }) => ({
  ...rest,
  request: request && { ...request, headers: [] },
});
