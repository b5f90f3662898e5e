import type { SteadyClock } from './steady-clock.ts';

/** Hub time as this probe estimates it: slots run on it, so that a wrong clock on this machine blinds no region. */
export interface HubClock {
  /** Epoch microseconds. */
  nowUs(): number;
  /**
   * A lease said what time it was; the request took `tookUs` in all, most of it waiting on purpose. `cameUs`: when it
   * came, on the steady clock (default now): to verify it may have taken a look at the newest keys, over the network.
   */
  learn(hubNowUs: number, tookUs: number, cameUs?: number): void;
  /** How far this machine's own clock is ahead of hub time, microseconds. */
  offsetUs(): number;
  /** A lease has told hub time: until then it is this machine's, set right by what was kept. */
  learned(): boolean;
}

/** Of the last samples the one that travelled fastest is believed: 8 of 8 s outlive a slow spell of the network. */
const keptSamples = 8;
/** Further off than this is no drift: it is set at once. */
const stepUs = 1_000_000;
/** Slewed by 20 ms a second at most: no check is moved by more than that against its neighbours. */
const slewRate = 0.02;
/** A round trip longer than this says nothing about the way. */
const longestTripUs = 1_000_000;

/** `startUs`: hub time now as far as it is known beforehand (this machine's clock, set right by the last lease). */
export function createHubClock(
  steady: SteadyClock,
  startUs: number,
  wallMs: () => number = Date.now,
): HubClock {
  let offsetUs = startUs - steady.nowUs();
  let targetUs = offsetUs;
  let slewedAtUs = steady.nowUs();
  let shortestTripUs = longestTripUs;
  let samples: readonly number[] = [];
  let learned = false;

  function slew(nowUs: number): void {
    const apartUs = targetUs - offsetUs;
    if (Math.abs(apartUs) > stepUs) offsetUs = targetUs;
    else if (apartUs !== 0) {
      const most = (nowUs - slewedAtUs) * slewRate;
      offsetUs += Math.max(-most, Math.min(most, apartUs));
    }
    slewedAtUs = nowUs;
  }

  function nowUs(): number {
    const steadyUs = steady.nowUs();
    slew(steadyUs);
    return Math.floor(steadyUs + offsetUs);
  }

  return {
    nowUs,
    offsetUs: () => Math.round(wallMs() * 1000) - nowUs(),
    learned: () => learned,
    learn(hubNowUs, tookUs, cameUs) {
      const steadyUs = steady.nowUs();
      learned = true;
      slew(steadyUs);
      // What the hub said is older by the way back: at most the quickest round trip, half of it on average.
      shortestTripUs = Math.min(shortestTripUs, tookUs);
      const tripUs = shortestTripUs < longestTripUs ? shortestTripUs / 2 : 0;
      const sample = hubNowUs - (cameUs ?? steadyUs);
      const earlier = samples.filter((one) => Math.abs(one - sample) < stepUs);
      samples = [...earlier, sample].slice(-keptSamples);
      targetUs = Math.max(...samples) + tripUs;
      slew(steadyUs);
    },
  };
}
