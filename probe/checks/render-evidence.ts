import { brotliDecompressSync, constants, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';
import type { Assignment } from '../../shared/assignment.ts';
import { isCredentialName, sealableValues } from '../../shared/endpoint-secrets.ts';
import {
  type Evidence,
  evidenceText,
  isShownHeader,
  maskedValue,
  maxEvidenceBodyBytes,
  sealEvidence,
} from '../../shared/evidence.ts';
import { bodyText } from './body-decode.ts';
import { headerValues } from './http-expect.ts';
import { type Environment, resolveProbeValues } from './probe-values.ts';
import { type SeenHead, type SentRequest, type Trace, traceIdOf } from './trace.ts';

/**
 * What an attempt noted, as the JSON that travels with its result. Nothing in it is a secret of the endpoint: of what it
 * sends only headers that are harmless by their names are shown, and where the answer repeats a secret it is masked too.
 */
export function renderEvidence(trace: Trace, assignment: Assignment, env: Environment): string {
  const masked = maskOf(secretsOf(assignment, env));
  return sealEvidence({
    request: trace.request && requestOf(trace.request, assignment),
    response: trace.head && responseOf(trace.head, trace, masked),
    certificates: [...trace.certificates],
    addresses: trace.addresses.slice(0, 16).map((address) => evidenceText(address, 64)),
    address: trace.address,
    resolver: trace.resolver === null ? null : evidenceText(trace.resolver, 200),
    phase: trace.phase,
    errno: trace.errno,
    traceId: traceIdOf(trace),
  });
}

type Mask = (text: string) => string;

const mostHeaders = 40;

function requestOf({ method, url, headers, body }: SentRequest, assignment: Assignment): Evidence['request'] {
  const given = new Map<string, string>();
  const { headers: own = {}, metadata = {} } = assignment.request as {
    headers?: Record<string, string>;
    metadata?: Record<string, string>;
  };
  for (const [name, value] of Object.entries({ ...own, ...metadata })) given.set(name.toLowerCase(), value);
  const sealed = new Set(assignment.evidence?.sealed);
  const isShown = (name: string) =>
    isShownHeader(name) && !sealed.has(name) && !given.get(name)?.includes('${');
  const shown: [string, string][] = [];
  for (let at = 0; at + 1 < headers.length && shown.length < mostHeaders; at += 2) {
    const [name = '', value = ''] = [headers[at], headers[at + 1]];
    const text = isShown(name.toLowerCase()) ? withoutQueries(value) : maskedValue;
    shown.push([evidenceText(name, 100), evidenceText(text, 300)]);
  }
  if (!shown.some(([name]) => name.toLowerCase() === 'host')) shown.unshift(['host', url.host]);
  return {
    method: evidenceText(method, 32),
    url: evidenceText(maskedUrl(url), 1000),
    headers: shown,
    bodyBytes: body?.length ?? 0,
  };
}

/** The names of its parameters stay: they tell which address it was. */
function maskedUrl(url: URL): string {
  const names = [...url.searchParams.keys()].map((name) => `${encodeURIComponent(name)}=${maskedValue}`);
  return `${url.protocol}//${url.host}${url.pathname}${names.length > 0 ? `?${names.join('&')}` : ''}`;
}

/** Addresses in a header's value, such as Location's, keep their path alone. */
const withoutQueries = (value: string) =>
  value.replace(/\?[^\s"'<>,]*/g, `?${maskedValue}`).replace(/\/\/[^\s/@"'<>,]*@/g, `//${maskedValue}@`);

function responseOf({ status, headers }: SeenHead, trace: Trace, masked: Mask): Evidence['response'] {
  const shown: [string, string][] = [];
  for (let at = 0; at + 1 < headers.length && shown.length < mostHeaders; at += 2) {
    const name = textOf(headers[at]).toLowerCase();
    const text = isSecretAnswer(name) ? maskedValue : masked(withoutQueries(textOf(headers[at + 1])));
    shown.push([evidenceText(name, 100), evidenceText(text, 300)]);
  }
  return { status, headers: shown, body: bodyOf(trace, masked) };
}

/** A challenge (`WWW-Authenticate`) says why nobody was let in, and is meant for whoever asks. */
function isSecretAnswer(name: string): boolean {
  return isCredentialName(name) && !name.endsWith('-authenticate');
}

function textOf(part: string | Uint8Array | undefined): string {
  if (part === undefined || typeof part === 'string') return part ?? '';
  return Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString('latin1');
}

/** More is cut off after secrets are masked, so that none is left in two halves. */
const mostDecoded = 4 * maxEvidenceBodyBytes;

function bodyOf({ body, head }: Trace, masked: Mask): string | null {
  if (!body || !head || body.bytes === 0) return null;
  const fields = head.headers.map((part) => Buffer.from(textOf(part), 'latin1'));
  const coding = headerValues(fields, 'content-encoding').join(',').trim().toLowerCase();
  const bytes = decoded(Buffer.concat(body.chunks), coding);
  if (!bytes)
    return evidenceText(`(${body.bytes} bytes or more in the coding ${coding})`, maxEvidenceBodyBytes);
  const text = bodyText(bytes.subarray(0, mostDecoded), headerValues(fields, 'content-type')[0]);
  return evidenceText(masked(text), maxEvidenceBodyBytes);
}

/** 4 KiB of a bomb are a few megabytes. */
const mostInflated = 8 * 1024 * 1024;

/** The beginning of a body whose end is missing; null where that cannot be read. */
function decoded(bytes: Buffer, coding: string): Buffer | null {
  const zlib = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: mostInflated };
  try {
    switch (coding) {
      case '':
      case 'identity':
        return bytes;
      case 'gzip':
      case 'x-gzip':
        return gunzipSync(bytes, zlib);
      case 'deflate':
        return inflateSync(bytes, zlib);
      case 'br':
        return brotliDecompressSync(bytes, {
          finishFlush: constants.BROTLI_OPERATION_FLUSH,
          maxOutputLength: mostInflated,
        });
      case 'zstd':
        return zstdDecompressSync(bytes, {
          finishFlush: constants.ZSTD_e_flush,
          maxOutputLength: mostInflated,
        });
      default:
        return null;
    }
  } catch {
    return null;
  }
}

/** Shorter ones are found in any text. */
const leastSecret = 3;
const leastPart = 6;

/** Whatever of the endpoint may be a secret, whole, in its parts, and in the forms in which a server may repeat it. */
function secretsOf({ url, request, evidence }: Assignment, env: Environment): string[] {
  const sealed = new Set(evidence?.sealed);
  const values = sealableValues({ request }).flatMap(({ field, value }) => {
    // Never sent as they stand.
    if (field.startsWith('request.tls.')) return [];
    const header = /^request\.(?:headers|metadata)\.(.+)$/.exec(field)?.[1];
    const isOpen =
      header !== undefined && isShownHeader(header) && !sealed.has(header) && !value.includes('${');
    return isOpen ? [] : [resolved(value, env)];
  });
  const { basicAuth } = request as { basicAuth?: { username: string; password: string } };
  const pair = basicAuth && `${resolved(basicAuth.username, env)}:${resolved(basicAuth.password, env)}`;
  const queries = [...new URL(url).searchParams.values()].filter((value) => value.length >= leastPart);
  const whole = [...values, ...queries, ...(pair ? [Buffer.from(pair).toString('base64')] : [])];
  const parts = [...partsOf(values)];
  const secrets = new Set([...whole, ...parts].filter(({ length }) => length >= leastSecret));
  const forms = [...secrets].flatMap((secret) => [
    secret,
    encodeURIComponent(secret.toWellFormed()),
    JSON.stringify(secret).slice(1, -1),
  ]);
  return [...new Set(forms)].sort((a, b) => b.length - a.length);
}

/** Each is looked for in all that a server said: of a body of 64 KiB the first ones have to do. */
const mostParts = 200;

function partsOf(values: readonly string[]): Set<string> {
  const parts = new Set<string>();
  // A body has the most, and is the last to be taken apart.
  for (const value of values.toSorted((a, b) => a.length - b.length)) {
    for (const part of value.split(/[\s"'{}[\]:;,=&<>()@]+/)) {
      if (parts.size === mostParts) return parts;
      if (part.length >= leastPart) parts.add(part);
    }
  }
  return parts;
}

/** One that this probe does not have kept the check from running. */
function resolved(value: string, env: Environment): string {
  try {
    return resolveProbeValues(value, env);
  } catch {
    return '';
  }
}

const prefixLength = 24;

/** Also of one that goes on behind the end of the text. */
function maskOf(secrets: readonly string[]): Mask {
  return (text) => secrets.reduce(withoutSecret, text);
}

function withoutSecret(text: string, secret: string): string {
  const prefix = secret.slice(0, prefixLength);
  let out = '';
  let from = 0;
  for (let at = text.indexOf(prefix); at >= 0; at = text.indexOf(prefix, from)) {
    let end = at + prefix.length;
    while (end - at < secret.length && end < text.length && text[end] === secret[end - at]) end += 1;
    out += text.slice(from, at) + maskedValue;
    from = end;
  }
  return from === 0 ? text : out + text.slice(from);
}
