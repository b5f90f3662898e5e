import { randomBytes } from 'node:crypto';
import type { CertificateEvidence, evidencePhases } from '../../shared/evidence.ts';

/** A request as it was sent: what an http plan's hop is, and others make for themselves. */
export interface SentRequest {
  readonly method: string;
  readonly url: URL;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Uint8Array | null;
}

/** The head of what came back. Names and values in turn. */
export interface SeenHead {
  readonly status: number | null;
  readonly headers: readonly (string | Uint8Array)[];
}

/**
 * What an attempt notes on its way, for evidence: references to what is there anyway, so that a check that ends well
 * pays nothing for it. Later hops and addresses write over earlier ones.
 */
export interface Trace {
  /** Of the name that was looked up last. */
  addresses: readonly string[];
  resolver: string | null;
  /** Dialled last, with its port. */
  address: string | null;
  /** What the kernel said when it failed. */
  errno: string | null;
  request: SentRequest | null;
  head: SeenHead | null;
  certificates: readonly CertificateEvidence[];
  /** The last that ended, in whatever way. */
  phase: (typeof evidencePhases)[number] | null;
  /** Null where the endpoint did not ask for it: then nothing of a body may be kept. */
  readonly body: BodyHead | null;
  /** To be sent to the endpoint's own origin, and to no other; null where it did not ask for it. */
  readonly traceparent: string | null;
}

/** The first bytes of an answer's body, as they came: its coding is still on. */
export interface BodyHead {
  readonly chunks: Uint8Array[];
  bytes: number;
}

/** Enough for 2 KiB of text whatever the coding made of it. */
const mostHeadBytes = 4096;

export interface TraceWish {
  readonly body: boolean;
  readonly trace: boolean;
}

export function newTrace({ body, trace }: TraceWish = { body: false, trace: false }): Trace {
  return {
    addresses: [],
    resolver: null,
    address: null,
    errno: null,
    request: null,
    head: null,
    certificates: [],
    phase: null,
    body: body ? { chunks: [], bytes: 0 } : null,
    traceparent: trace ? newTraceparent() : null,
  };
}

/** W3C Trace Context, version 00, with the flag `sampled`: a check is rare enough to be looked at. */
function newTraceparent(): string {
  const random = randomBytes(24);
  // All zeros mean "none" (section 3.2.2.3).
  random[0] = (random[0] ?? 0) | 1;
  random[16] = (random[16] ?? 0) | 1;
  return `00-${random.toString('hex', 0, 16)}-${random.toString('hex', 16)}-01`;
}

export function traceIdOf({ traceparent }: Pick<Trace, 'traceparent'>): string | null {
  return traceparent?.slice(3, 35) ?? null;
}

/** The headers of a request to the endpoint's own origin. */
export function traced(headers: readonly string[], { traceparent }: Trace): readonly string[] {
  return traceparent === null ? headers : [...headers, 'traceparent', traceparent];
}

/** A new request of the same check: what was seen of the one before says nothing of it. */
export function noteRequest(trace: Trace, request: SentRequest | null): void {
  trace.request = request;
  trace.errno = null;
  forgetAnswer(trace);
}

/** A new answer's head: the body of the one before is forgotten. */
export function noteHead(trace: Trace, head: SeenHead): void {
  forgetAnswer(trace);
  trace.head = head;
}

function forgetAnswer(trace: Trace): void {
  trace.head = null;
  if (!trace.body) return;
  trace.body.chunks.length = 0;
  trace.body.bytes = 0;
}

/** A copy: chunks are parts of larger buffers, which would live as long. */
export function noteBody({ body }: Trace, chunk: Uint8Array): void {
  if (!body || body.bytes >= mostHeadBytes) return;
  const part = Buffer.from(chunk.subarray(0, mostHeadBytes - body.bytes));
  body.chunks.push(part);
  body.bytes += part.length;
}

export function noteErrno(trace: Trace, error: NodeJS.ErrnoException): void {
  if (/^E[A-Z0-9]{2,20}$/.test(error.code ?? '')) trace.errno = error.code ?? null;
}
