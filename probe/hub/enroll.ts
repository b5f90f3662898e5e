import { decodeJwt } from 'jose';
import type { Logger } from 'pino';
import { Failed } from '../../shared/command-line.ts';
import {
  type EnrollAnswer,
  type EnrollmentClaims,
  type EnrollRequest,
  enrollAnswerSchema,
  enrollmentClaimsSchema,
} from '../../shared/enrollment.ts';
import { TokenError } from '../../shared/jws.ts';
import { type TrustedKeySet, verifyKeySet } from '../../shared/key-set.ts';
import { createBackoff } from './backoff.ts';
import type { HubLink } from './hub-link.ts';
import { fetchKeySet } from './key-ring.ts';
import { HubAnswerError, linkTrouble, problemOf } from './open-hub-link.ts';

export interface EnrollOptions {
  readonly link: HubLink;
  /** Where the link leads, where that is not the address in the token. */
  readonly dialled?: string;
  readonly token: string;
  readonly claims: EnrollmentClaims;
  readonly request: Omit<EnrollRequest, 'token'>;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly backoff?: { readonly firstMs: number; readonly mostMs: number };
}

export interface Enrollment {
  readonly answer: EnrollAnswer;
  readonly keySet: TrustedKeySet;
  /** The document that `keySet` was read from. */
  readonly document: unknown;
}

const timeoutMs = 15_000;

/** What a token says of itself: nothing here is believed before the hub has shown the root that it names. Throws Failed. */
export function readToken(token: string): EnrollmentClaims {
  const parts = token.split('.');
  const parsed = parts.length === 3 ? enrollmentClaimsSchema.safeParse(payloadOf(token)) : null;
  if (!parsed?.success) {
    const api = /^[A-Za-z0-9_-]+$/.test(token) ? ' (an API token is another thing)' : '';
    throw new Failed(
      `this is not an enrollment token${api}: an operator makes one with \`parallax enroll --region REGION\``,
    );
  }
  return parsed.data;
}

function payloadOf(token: string): unknown {
  try {
    return decodeJwt(token);
  } catch {
    return null;
  }
}

/**
 * Trades the token for an identity. Waits for a hub that is away; a retry with the same key is the same enrollment.
 * Throws Failed with what to do where the hub refuses, or shows another root than the token's.
 */
export async function enroll(options: EnrollOptions): Promise<Enrollment> {
  const { link, token, claims, request, log, signal, backoff: bounds } = options;
  const backoff = createBackoff(bounds ?? { firstMs: 500, mostMs: 30_000 });
  for (;;) {
    signal.throwIfAborted();
    try {
      const document = await fetchKeySet(link, signal);
      const keySet = await verifyKeySet(document, claims.root, { issuer: claims.iss });
      const body = Buffer.from(JSON.stringify({ ...request, token } satisfies EnrollRequest));
      const answer = await link.request('POST', '/v1/enroll', {
        body,
        headers: { 'content-type': 'application/json' },
        timeoutMs,
        signal,
      });
      if (answer.status === 200 || answer.status === 201) {
        const enrolled = enrollAnswerSchema.parse(JSON.parse(Buffer.from(answer.body).toString('utf8')));
        return { answer: enrolled, keySet, document };
      }
      const { code, detail } = problemOf(answer.body);
      if (isLasting(answer.status)) throw new Failed(refusal(code, detail, answer.status));
      log.warn({ status: answer.status, code }, 'the hub cannot enroll this probe now: trying again');
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Failed) throw error;
      if (error instanceof TokenError) throw new Failed(untrusted(error, claims), { cause: error });
      const why = error instanceof HubAnswerError ? error.message : linkTrouble(error);
      log.warn(
        { hub: options.dialled ?? claims.iss, why },
        'the hub cannot be reached to enroll: trying again',
      );
    }
    await backoff.wait(signal);
  }
}

/** What no retry heals. */
function isLasting(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429;
}

const newToken = 'ask an operator for a new one (`parallax enroll --region REGION`)';

function refusal(code: string | null, detail: string, status: number): string {
  switch (code) {
    case 'enrollment.spent':
      return `the enrollment token is spent: another probe came with it first. If that was not you, tell an operator; else ${newToken}`;
    case 'enrollment.expired':
      return `the enrollment token has expired: ${newToken}`;
    case 'enrollment.revoked':
      return `the enrollment token was revoked: ${newToken}`;
    case 'probe.revoked':
      return 'the hub has revoked this probe: enroll anew with an empty --data folder and a new token';
    default:
      return `the hub refuses to enroll this probe: ${detail || `it answered ${status}`}${code ? ` (${code})` : ''}`;
  }
}

function untrusted(error: TokenError, claims: EnrollmentClaims): string {
  if (error.code === 'issuer') {
    return `the token is for ${claims.iss}, but another hub answers: ${error.message}`;
  }
  return `the hub at ${claims.iss} is not the one the token was made by (${error.message}): is --hub right, and does nobody stand between?`;
}
