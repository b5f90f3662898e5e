/** The closed union of failure codes with the outcome and the source each one stands for. */

export const outcomes = ['up', 'degraded', 'down', 'skipped'] as const;
export type Outcome = (typeof outcomes)[number];

/** Whose fault a failure is. `probe` never counts against a target. */
export const failureSources = ['target', 'resolver', 'network', 'probe'] as const;
export type FailureSource = (typeof failureSources)[number];

interface FailureMeaning {
  readonly outcome: Exclude<Outcome, 'up'>;
  readonly source: FailureSource;
}

const target: FailureMeaning = { outcome: 'down', source: 'target' };
const resolver: FailureMeaning = { outcome: 'down', source: 'resolver' };
const network: FailureMeaning = { outcome: 'down', source: 'network' };
const skipped: FailureMeaning = { outcome: 'skipped', source: 'probe' };

/** One table from code to outcome and source. The wire carries the code as a string, so that old readers live. */
export const failureTable = {
  'dns.nxdomain': resolver,
  'dns.servfail': resolver,
  'dns.timeout': resolver,
  'connect.refused': target,
  'connect.timeout': network,
  'connect.unreachable': network,
  'connect.reset': target,
  'tls.handshake': target,
  'tls.expired': target,
  'tls.hostname': target,
  'tls.untrusted': target,
  'tls.version': target,
  'tls.client': target,
  'tls.timeout': target,
  'request.reset': target,
  'wait.timeout': target,
  'body.timeout': target,
  'body.reset': target,
  'body.too_large': target,
  'body.encoding': target,
  'http.protocol': target,
  'http.redirects': target,
  'protocol.invalid': target,
  'protocol.refused': target,
  'expect.status': target,
  'expect.version': target,
  'expect.header': target,
  'expect.body': target,
  'expect.json': target,
  'expect.tls': target,
  'expect.response': target,
  'expect.health': target,
  'expect.answer': target,
  'expect.rcode': target,
  'expect.flags': target,
  'expect.ttl': target,
  'expect.serial': target,
  'expect.loss': network,
  'expect.jitter': { outcome: 'degraded', source: 'network' },
  'expect.identity': target,
  'expect.cert': { outcome: 'degraded', source: 'target' },
  'policy.blocked': skipped,
  'policy.robots': skipped,
  'policy.retry_after': skipped,
  'probe.unable': skipped,
  'probe.saturated': skipped,
  'probe.overrun': skipped,
  'probe.paused': skipped,
  'probe.network': skipped,
  'probe.internal': skipped,
} as const satisfies Record<string, FailureMeaning>;

export type FailureCode = keyof typeof failureTable;
export const failureCodes = Object.keys(failureTable) as FailureCode[];

export function isFailureCode(code: string): code is FailureCode {
  return Object.hasOwn(failureTable, code);
}

export interface Failure {
  readonly code: FailureCode;
  readonly source: FailureSource;
  /** At most 200 bytes of UTF-8, with no query string and no body in it. Comes from strangers: escape it wherever shown. */
  readonly message: string;
}

/** Most bytes of UTF-8 that a failure message may have on the wire. */
export const maxMessageBytes = 200;

export function failure(code: FailureCode, message: string): Failure {
  return { code, source: failureTable[code].source, message: clipUtf8(message, maxMessageBytes) };
}

export function outcomeOf(code: FailureCode): Exclude<Outcome, 'up'> {
  return failureTable[code].outcome;
}

/** Cuts to at most `maxBytes` bytes of UTF-8 without splitting a character. Lone surrogates become U+FFFD. */
export function clipUtf8(text: string, maxBytes: number): string {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed();
  if (wellFormed.length * 3 <= maxBytes) return wellFormed;
  const bytes = new TextEncoder().encode(wellFormed);
  if (bytes.length <= maxBytes) return wellFormed;
  let end = maxBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return new TextDecoder().decode(bytes.subarray(0, end));
}
