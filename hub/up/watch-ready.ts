import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';

const answerSchema = z.object({ missing: z.array(z.object({ what: z.string(), why: z.string() })) });

/**
 * Says in the terminal what the hub misses for its work, once each time that changes: its log is a file, and a full
 * disk or a database that is away should be seen where somebody looks. A hub that does not answer is its supervisor's
 * to tell of. Ends with `signal`.
 */
export async function watchReady(
  origin: string,
  say: (line: string) => void,
  signal: AbortSignal,
  everyMs = 5000,
): Promise<void> {
  let told = '';
  while (!signal.aborted) {
    await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const answer = await fetch(`${origin}/readyz`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(5000)]),
    })
      .then((response) => response.json())
      .catch(() => null);
    const read = answerSchema.safeParse(answer);
    if (!read.success) continue;
    const missing = read.data.missing.filter(({ what }) => what !== 'hub');
    const now = missing.map(({ what, why }) => `${what}: ${why}`).join('; ');
    // How long it has waited, and which try this is, are no news.
    const key = now.replace(/\d+/g, '');
    if (key === told) continue;
    told = key;
    say(now === '' ? 'is ready again' : `is not ready: ${now}`);
  }
}
