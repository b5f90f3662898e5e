import robotsParser from 'robots-parser';
import { type Failure, failure } from '../../shared/failure.ts';

export interface RobotsGate {
  /**
   * `policy.robots` where the site's robots.txt asks this probe to stay away, else null. `fetch` is asked where
   * nothing fresh is known; `place` says where it would ask, since one origin may be looked for at several addresses.
   */
  refuse(url: URL, place: string, fetch: RobotsFetch): Promise<Failure | null>;
}

/** The text of a robots.txt; null where none could be had. Never throws. */
export type RobotsFetch = (robotsUrl: URL) => Promise<string | null>;

/** The name that robots.txt files call this probe by. */
const robotName = 'Parallax';
const freshMs = 3_600_000;
const absentMs = 300_000;
const keptMost = 2000;

interface Robot {
  isAllowed(url: string, userAgent: string): boolean | undefined;
}
// Its types describe an ES module; what Node imports from it is the function itself.
const parseRobots = robotsParser as unknown as (url: string, text: string) => Robot;

interface Rules {
  readonly robot: Robot | null;
  readonly untilMs: number;
}

/**
 * RFC 9309, with one difference: where robots.txt cannot be had the check goes on. The standard has a crawler stay
 * away then, but a site in trouble is what a monitor is there to see.
 */
export function createRobotsGate(nowMs: () => number): RobotsGate {
  const rules = new Map<string, Rules>();
  return {
    async refuse(url, place, fetch) {
      const key = `${url.origin} ${place}`;
      let known = rules.get(key);
      if (!known || known.untilMs <= nowMs()) {
        const robotsUrl = new URL('/robots.txt', url);
        const text = await fetch(robotsUrl);
        known = {
          robot: text === null ? null : parseRobots(robotsUrl.href, text),
          untilMs: nowMs() + (text === null ? absentMs : freshMs),
        };
        rules.delete(key);
        rules.set(key, known);
        if (rules.size > keptMost) rules.delete(rules.keys().next().value ?? '');
      }
      if (known.robot?.isAllowed(url.href, robotName) !== false) return null;
      return failure(
        'policy.robots',
        `${url.origin}/robots.txt asks ${robotName} not to fetch ${url.pathname}`,
      );
    },
  };
}
