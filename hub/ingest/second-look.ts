import { setTimeout as wait } from 'node:timers/promises';

export interface SecondLookOptions {
  /** Reads again what the doubt is about. */
  readonly look: () => Promise<void>;
  readonly onError: (error: unknown) => void;
  /** Least pause between two looks; one that takes long makes it longer: a tenth of the time at most is spent looking. */
  readonly leastGapMs?: number;
  /** Looks that one probe may ask for at once, and a second. */
  readonly burst?: number;
  readonly perSecond?: number;
  /** Monotonic milliseconds. */
  readonly nowMs?: () => number;
}

/**
 * What another replica has just changed may not be known here yet. A result that is refused for that is lost, so its
 * batch waits for a look that began after it came: one look for all who wait. Each probe has looks of its own, so that
 * one that names endpoints nobody has takes none from the others, and waits in vain once a second at most.
 */
export interface SecondLook {
  /**
   * Resolves when it was looked; false where the probe has used up its looks. Never throws. `cameMs`: when what is in
   * doubt came, monotonic milliseconds; now by default. Where a look has begun since and ended, what it was judged by
   * is newer than itself, and it waits for no other: whatever one partition brings at once, it stands still once.
   */
  of(probeId: number, cameMs?: number): Promise<boolean>;
  /**
   * For keys that nobody is known to have: anybody can make them up, so one in a second waits, for all. What was
   * refused meanwhile moved no stream: its probe sends it again after 30 s, and is known by then, since there is
   * another look for it.
   */
  ofAnybody(cameMs?: number): Promise<boolean>;
}

interface Looks {
  left: number;
  atMs: number;
}

const anybodyEveryMs = 1000;
/** Probes that asked lately. */
const maxAskers = 10_000;

export function createSecondLook(options: SecondLookOptions): SecondLook {
  const { look, onError, leastGapMs = 250, burst = 4, perSecond = 1 } = options;
  const { nowMs = () => performance.now() } = options;
  const askers = new Map<number, Looks>();
  /** One that has not begun to read: whoever asks shares it. */
  let coming: Promise<void> | null = null;
  let running: Promise<void> = Promise.resolve();
  /** When the last look that came to its end began. */
  let lookedMs = Number.NEGATIVE_INFINITY;
  let notBeforeMs = Number.NEGATIVE_INFINITY;
  let anybodyNotBeforeMs = Number.NEGATIVE_INFINITY;
  let isDueLater = false;

  function next(): Promise<void> {
    coming ??= begin();
    return coming;
  }

  async function begin(): Promise<void> {
    await running;
    const pauseMs = notBeforeMs - nowMs();
    if (pauseMs > 0) await wait(pauseMs);
    coming = null;
    running = read();
    await running;
  }

  async function read(): Promise<void> {
    const beganMs = nowMs();
    await look().then(() => {
      lookedMs = beganMs;
    }, onError);
    const endedMs = nowMs();
    notBeforeMs = endedMs + Math.max(leastGapMs, (endedMs - beganMs) * 9);
  }

  function mayAsk(probeId: number): boolean {
    const atMs = nowMs();
    const looks = askers.get(probeId) ?? { left: burst, atMs };
    looks.left = Math.min(burst, looks.left + ((atMs - looks.atMs) / 1000) * perSecond);
    looks.atMs = atMs;
    askers.delete(probeId);
    askers.set(probeId, looks);
    for (const oldest of askers.keys()) {
      if (askers.size <= maxAskers) break;
      askers.delete(oldest);
    }
    if (looks.left < 1) return false;
    looks.left -= 1;
    return true;
  }

  return {
    async of(probeId, cameMs = nowMs()) {
      if (lookedMs > cameMs || !mayAsk(probeId)) return false;
      await next();
      return true;
    },
    async ofAnybody(cameMs = nowMs()) {
      if (lookedMs > cameMs) return false;
      const pauseMs = anybodyNotBeforeMs - nowMs();
      if (pauseMs > 0) {
        if (!isDueLater) {
          isDueLater = true;
          setTimeout(() => {
            isDueLater = false;
            void next();
          }, pauseMs).unref();
        }
        return false;
      }
      anybodyNotBeforeMs = nowMs() + anybodyEveryMs;
      await next();
      return true;
    },
  };
}
