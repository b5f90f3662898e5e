/**
 * How late this process itself is: the delay of its event loop, which every measured latency has in it. A check that
 * ran through a stall says little about its target.
 */
export interface Noise {
  /** The longest time that the loop stood still since then (`performance.now()`); 0 where it never did for 5 ms. */
  worstStallMs(sinceMs: number): number;
  /** The worst of the ten-second p99s of the last minute, microseconds: what the lease request tells. */
  minuteUs(): number;
  stop(): void;
}

/** Less than this spoils no result (DESIGN, "honest latency"). */
const leastStallMs = 5;
const everyMs = 10;
const keptStalls = 100;
const samplesASpan = 1000;
const spans = 6;

/**
 * A timer that looks how late it is. monitorEventLoopDelay would tell the percentile, but not whether a stall lay inside
 * one check: with other work on the machine a few stalls a second would then spoil every result (seen on two cores
 * shared by ten processes: p99 20 ms, and one check in a hundred disturbed).
 */
export function watchNoise(nowMs: () => number = () => performance.now()): Noise {
  const samples = new Float64Array(samplesASpan);
  let count = 0;
  let past: readonly number[] = [];
  let lookedMs = nowMs();
  /** The newest last. */
  let stalls: readonly { readonly atMs: number; readonly lateMs: number }[] = [];
  const lateMs = (now: number) => Math.max(0, now - lookedMs - everyMs);

  function look(): void {
    const now = nowMs();
    const late = lateMs(now);
    if (late > leastStallMs) stalls = [...stalls.slice(1 - keptStalls), { atMs: now, lateMs: late }];
    lookedMs = now;
    samples[count] = late;
    count += 1;
    if (count < samplesASpan) return;
    past = [currentUs(), ...past].slice(0, spans);
    count = 0;
  }

  function currentUs(): number {
    const sorted = samples.slice(0, count).sort();
    return Math.round((sorted[Math.floor(count * 0.99)] ?? 0) * 1000);
  }

  const timer = setInterval(look, everyMs);
  timer.unref();
  return {
    worstStallMs(sinceMs) {
      // One that the timer has not seen yet counts too: what was read from a socket comes before it in the loop.
      const pending = lateMs(nowMs());
      let worst = pending > leastStallMs ? pending : 0;
      for (const { atMs, lateMs } of stalls) if (atMs >= sinceMs) worst = Math.max(worst, lateMs);
      return worst;
    },
    // Of a handful of samples the largest is no percentile: a second of them at least.
    minuteUs: () => Math.max(count >= 100 ? currentUs() : 0, ...past),
    stop: () => clearInterval(timer),
  };
}
