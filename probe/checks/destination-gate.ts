/** What one destination (address and port) may get from this probe, however many endpoints name it. */
export interface DestinationLimits {
  readonly concurrent: number;
  /** New connections a second; as many may come at once after a pause. */
  readonly perSecond: number;
}

/**
 * A probe must not become anybody's weapon: whoever controls the hub could name one victim in 100,000 endpoints.
 * 100 a second is 3,000 endpoints of a 30 s interval behind one address.
 */
export const destinationLimits: DestinationLimits = { concurrent: 50, perSecond: 100 };

export interface DestinationGate {
  /** Null where one more connection may be opened; it must `leave` when it is closed. Else why not. */
  enter(destination: string, nowMs: number): string | null;
  leave(destination: string): void;
}

interface Meter {
  open: number;
  tokens: number;
  atMs: number;
}

const sweepAbove = 10_000;
const sweepEveryMs = 1000;

/** A token bucket and a count for each destination; those at rest are forgotten. */
export function createDestinationGate({ concurrent, perSecond }: DestinationLimits): DestinationGate {
  const meters = new Map<string, Meter>();
  let sweptMs = 0;
  const refilled = ({ tokens, atMs }: Meter, nowMs: number) =>
    Math.min(perSecond, tokens + (Math.max(0, nowMs - atMs) / 1000) * perSecond);
  const sweep = (nowMs: number) => {
    sweptMs = nowMs;
    for (const [destination, meter] of meters) {
      if (meter.open === 0 && refilled(meter, nowMs) >= perSecond) meters.delete(destination);
    }
  };
  return {
    enter(destination, nowMs) {
      let meter = meters.get(destination);
      if (!meter) {
        if (meters.size >= sweepAbove && nowMs - sweptMs >= sweepEveryMs) sweep(nowMs);
        meter = { open: 0, tokens: perSecond, atMs: nowMs };
        meters.set(destination, meter);
      }
      if (meter.open >= concurrent)
        return `${concurrent} checks of ${destination} run already: this probe allows no more at once`;
      meter.tokens = refilled(meter, nowMs);
      meter.atMs = nowMs;
      if (meter.tokens < 1)
        return `this probe opens at most ${perSecond} connections a second to ${destination}`;
      meter.tokens -= 1;
      meter.open += 1;
      return null;
    },
    leave(destination) {
      const meter = meters.get(destination);
      if (meter && meter.open > 0) meter.open -= 1;
    },
  };
}
