import { monitorEventLoopDelay } from 'node:perf_hooks';

/**
 * How late this process itself is: the delay of its event loop, which every measured latency has in it. A check that
 * ran while it was high says little about its target.
 */
export interface Noise {
  /** p99 of the last ten to twenty seconds, microseconds. */
  recentUs(): number;
  /** The worst of the ten-second p99s of the last minute, microseconds: what the lease request tells. */
  minuteUs(): number;
  stop(): void;
}

/** Results taken above it are marked suspect (DESIGN, "honest latency"). */
export const mostNoiseUs = 5000;

const resolutionMs = 10;
const spanMs = 10_000;
const spans = 6;

export function watchNoise(): Noise {
  // It counts from one of its timers to the next: on an idle machine it says 10.1 ms (measured), of which 10 are its own.
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  let past: readonly number[] = [];
  const currentUs = () =>
    histogram.count === 0
      ? 0
      : Math.max(0, Math.round(histogram.percentile(99) / 1000) - resolutionMs * 1000);
  const timer = setInterval(() => {
    past = [currentUs(), ...past].slice(0, spans);
    histogram.reset();
  }, spanMs);
  timer.unref();
  return {
    recentUs: () => Math.max(currentIfSettled(), past[0] ?? 0),
    minuteUs: () => Math.max(currentIfSettled(), ...past),
    stop() {
      clearInterval(timer);
      histogram.disable();
    },
  };

  /** Of a handful of samples the largest is no percentile: a second of them at least. */
  function currentIfSettled(): number {
    return histogram.count * resolutionMs < 1000 ? 0 : currentUs();
  }
}
