/**
 * How late this process itself is: the delay of its event loop, which every measured latency has in it. A check that
 * ran through a stall says little about its target.
 */
export interface Noise {
  /** Whether the loop stood still for more than `mostNoiseUs` since then (`performance.now()`). */
  stalledSince(sinceMs: number): boolean;
  /** The worst of the ten-second p99s of the last minute, microseconds: what the lease request tells. */
  minuteUs(): number;
  stop(): void;
}

/** Results taken above it are marked suspect (DESIGN, "honest latency"). */
export const mostNoiseUs = 5000;

const everyMs = 10;
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
  let stalledMs = Number.NEGATIVE_INFINITY;
  const lateMs = (now: number) => Math.max(0, now - lookedMs - everyMs);

  function look(): void {
    const now = nowMs();
    const late = lateMs(now);
    if (late * 1000 > mostNoiseUs) stalledMs = now;
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
    // A stall that the timer has not seen yet counts too: what was read from a socket comes before it in the loop.
    stalledSince: (sinceMs) => stalledMs >= sinceMs || lateMs(nowMs()) * 1000 > mostNoiseUs,
    // Of a handful of samples the largest is no percentile: a second of them at least.
    minuteUs: () => Math.max(count >= 100 ? currentUs() : 0, ...past),
    stop: () => clearInterval(timer),
  };
}
