import type { Logger } from 'pino';
import type { HubClock } from './hub-clock.ts';

/** A machine whose clock is kept by NTP is within milliseconds. */
const wrongUs = 1_000_000;
/** It is right again well below that: one that hovers there is not told of twice a minute. */
const rightUs = 500_000;

/** Says once that this machine's clock is off, and once that it is right again. Call it with each lease. */
export function createOffsetWords(
  clock: Pick<HubClock, 'offsetUs' | 'learned'>,
  log: Pick<Logger, 'warn' | 'info'>,
): () => void {
  let isWrong = false;
  return () => {
    if (!clock.learned()) return;
    const offsetUs = clock.offsetUs();
    const seconds = Math.round(offsetUs / 100_000) / 10;
    if (!isWrong && Math.abs(offsetUs) > wrongUs) {
      isWrong = true;
      log.warn(
        { secondsAhead: seconds },
        'the clock of this machine is off: slots and results go by hub time and are right all the same, this log is not',
      );
    } else if (isWrong && Math.abs(offsetUs) < rightUs) {
      isWrong = false;
      log.info({ secondsAhead: seconds }, 'the clock of this machine is right again');
    }
  };
}
