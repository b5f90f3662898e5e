/** A bounded number of children at once, and a bounded line of those who wait for one. */
export interface PingTurns {
  /**
   * Resolves with how to give the turn back, or with why there is none. `onStop` is given what leaves the line early;
   * it then resolves with null.
   */
  take(onStop: (leave: () => void) => void): Promise<(() => void) | string | null>;
}

export interface PingLimits {
  readonly atOnce: number;
  readonly waitingMost: number;
  readonly waitMs: number;
}

/** A child takes 2 to 3 ms of processor; three requests 200 ms apart keep it for 0.4 s: some 75 checks a second. */
export const pingLimits: PingLimits = { atOnce: 32, waitingMost: 256, waitMs: 3000 };

export function createPingTurns({ atOnce, waitingMost, waitMs }: PingLimits = pingLimits): PingTurns {
  const line: (() => void)[] = [];
  let running = 0;
  const give = (): (() => void) => {
    running += 1;
    let given = true;
    return () => {
      if (!given) return;
      given = false;
      running -= 1;
      line.shift()?.();
    };
  };
  return {
    take(onStop) {
      if (running < atOnce) return Promise.resolve(give());
      if (line.length >= waitingMost)
        return Promise.resolve(`${waitingMost} pings wait for their turn already`);
      return new Promise((resolve) => {
        const leave = (why: string | null) => {
          const at = line.indexOf(turn);
          if (at < 0) return;
          line.splice(at, 1);
          clearTimeout(timer);
          resolve(why);
        };
        const turn = () => {
          clearTimeout(timer);
          resolve(give());
        };
        const timer = setTimeout(
          leave,
          waitMs,
          `this probe runs at most ${atOnce} pings at once, and none ended within ${waitMs} ms`,
        );
        line.push(turn);
        onStop(() => leave(null));
      });
    },
  };
}
