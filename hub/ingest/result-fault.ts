import { isIP } from 'node:net';
import { maxMessageBytes, outcomeOf } from '../../shared/failure.ts';
import type { Result, TlsFacts } from '../../shared/result.ts';
import type { RejectReason } from './reject.ts';

/** A timeout is a day at most (the endpoint schema), so no phase is longer. */
const maxPhaseUs = 86_400_000_000;
/** How long after its instant a slot may be spoken of: a machine that slept says so when it wakes. */
const maxLateUs = 40 * 86_400_000_000;
/** The probe's idea of hub time is slewed between the due instant and the start. */
const maxEarlyUs = 1_000_000;

type Fault = { readonly reason: RejectReason; readonly detail: string } | null;

/** What is wrong with one result, whoever sent it, or null. Nothing here is taken on trust but the decoder's types. */
export function resultFault(result: Result, newestUs: number): Fault {
  const { timings } = result;
  if (result.scheduledAt > newestUs || result.startedAt > newestUs) {
    return { reason: 'future', detail: `scheduled at ${result.scheduledAt}, started at ${result.startedAt}` };
  }
  const wrong =
    outside('endpointId', result.endpointId, 1, Number.MAX_SAFE_INTEGER) ??
    outside('rev', result.rev, 1, 2 ** 31 - 1) ??
    outside('scheduledAt', result.scheduledAt, 0, Number.MAX_SAFE_INTEGER) ??
    outside('lateBy', result.lateBy, -maxEarlyUs, maxLateUs) ??
    outside('attempts', result.attempts, 0, 100) ??
    outside('redirects', result.redirects, 0, 100) ??
    outside('bytes', result.bytes, 0, Number.MAX_SAFE_INTEGER) ??
    outside('status', result.status, 0, 999) ??
    outside('dns', timings.dns, 0, maxPhaseUs) ??
    outside('connect', timings.connect, 0, maxPhaseUs) ??
    outside('tls', timings.tls, 0, maxPhaseUs) ??
    outside('wait', timings.wait, 0, maxPhaseUs) ??
    outside('transfer', timings.transfer, 0, maxPhaseUs) ??
    outside('total', timings.total, 0, maxPhaseUs) ??
    textFault('httpVersion', result.httpVersion, 16) ??
    (result.remoteIp === null || isAddress(result.remoteIp) ? null : 'remoteIp is not an address') ??
    outcomeFault(result) ??
    (result.tls && tlsFault(result.tls));
  return wrong ? { reason: 'result_invalid', detail: wrong } : null;
}

function outside(name: string, value: number | null, least: number, most: number): string | null {
  if (value === null || (Number.isSafeInteger(value) && value >= least && value <= most)) return null;
  return `${name} is ${value}, outside ${least} to ${most}`;
}

function textFault(name: string, value: string | null, maxBytes: number): string | null {
  if (value === null) return null;
  if (value.length > maxBytes || (value.length * 3 > maxBytes && Buffer.byteLength(value) > maxBytes)) {
    return `${name} has more than ${maxBytes} bytes`;
  }
  return value.includes('\0') ? `${name} has a NUL character` : null;
}

/** Judgement counts on these: what is down or skipped says why, in words of its own outcome. */
function outcomeFault({ outcome, failure }: Result): string | null {
  if (!failure) return outcome === 'up' || outcome === 'degraded' ? null : `${outcome} without a failure`;
  if (outcome !== outcomeOf(failure.code)) return `${outcome} with ${failure.code}`;
  return textFault('failure.message', failure.message, maxMessageBytes);
}

function tlsFault(tls: TlsFacts): string | null {
  return (
    textFault('tls.version', tls.version, 32) ??
    textFault('tls.cipher', tls.cipher, 100) ??
    textFault('tls.issuer', tls.issuer, 200) ??
    outside('tls.notAfter', tls.notAfter, -62_135_596_800, 253_402_300_799) ??
    (/^[0-9a-f]{64}$/.test(tls.fingerprint) ? null : 'tls.fingerprint is not SHA-256 in hex')
  );
}

function isAddress(text: string): boolean {
  return text.length <= 45 && isIP(text) !== 0;
}
