import type { SealedBatch } from '../../shared/batch.ts';
import { relayHeadersOf, relayPath } from '../../shared/relay.ts';
import type { HubAnswer, HubLink } from '../hub/hub-link.ts';
import { linkTrouble, problemOf } from '../hub/open-hub-link.ts';
import { DeliveryError, type Way } from './way.ts';

/** What is wrong with the batch itself, if the hub says so in its own words: any proxy may answer with these. */
const refusals: readonly number[] = [400, 413, 415, 422];
const mostRetryAfterMs = 300_000;

/** POST /v1/results: 204 means transported, no more. */
export function createRelay(link: HubLink, timeoutMs = 15_000): Way {
  return {
    async send(batch: SealedBatch, signal) {
      const body = batch.value;
      const headers = relayHeadersOf(batch);
      const answer = await link
        .request('POST', relayPath, { body, headers, timeoutMs, signal })
        .catch((cause: unknown) => {
          throw new DeliveryError('away', `the hub cannot be reached: ${linkTrouble(cause)}`, { cause });
        });
      if (answer.status >= 200 && answer.status < 300) return;
      throw errorOf(answer);
    },
  };
}

function errorOf({ status, headers, body }: HubAnswer): DeliveryError {
  const { code, detail } = problemOf(body);
  const message = `the hub's relay answered ${status}${code ? ` ${code}` : ''}${detail ? `: ${detail}` : ''}`;
  const foreign = status === 403 && code === 'relay.foreign';
  if (foreign || refusals.includes(status)) {
    return new DeliveryError('refused', message, { isFinal: /^(relay|request)\./.test(code ?? '') });
  }
  return new DeliveryError('away', message, { retryAfterMs: retryAfterMs(headers.get('retry-after')) });
}

/** RFC 9110 section 10.2.3, in seconds; the form with a date rests on two clocks and is left out. */
export function retryAfterMs(header: string | null): number | null {
  if (header === null || !/^\d{1,6}$/.test(header)) return null;
  return Math.min(Number(header) * 1000, mostRetryAfterMs);
}
