import { type Failure, failure } from '../../shared/failure.ts';
import { parseRobots, type RobotsRules } from './robots-rules.ts';

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

/** Of all sites together: any site may lead on to others, each with a file of its own. */
const keptMostChars = 4_194_304;

interface Known {
  /** Null where none could be had. */
  readonly rules: RobotsRules | null;
  readonly untilMs: number;
}

/**
 * RFC 9309, with one difference: where robots.txt cannot be had the check goes on. The standard has a crawler stay
 * away then, but a site in trouble is what a monitor is there to see.
 */
export function createRobotsGate(nowMs: () => number): RobotsGate {
  const sites = new Map<string, Known>();
  let keptChars = 0;
  const forget = (key: string) => {
    keptChars -= sites.get(key)?.rules?.chars ?? 0;
    sites.delete(key);
  };
  const remember = (key: string, known: Known) => {
    forget(key);
    sites.set(key, known);
    keptChars += known.rules?.chars ?? 0;
    for (const oldest of sites.keys()) {
      if (sites.size <= keptMost && keptChars <= keptMostChars) break;
      forget(oldest);
    }
  };
  return {
    async refuse(url, place, fetch) {
      const key = `${url.origin} ${place}`;
      let known = sites.get(key);
      if (!known || known.untilMs <= nowMs()) {
        const text = await fetch(new URL('/robots.txt', url));
        known = {
          rules: text === null ? null : parseRobots(text, robotName),
          untilMs: nowMs() + (text === null ? absentMs : freshMs),
        };
        remember(key, known);
      }
      if (known.rules?.allows(`${url.pathname}${url.search}`) !== false) return null;
      return failure(
        'policy.robots',
        `${url.origin}/robots.txt asks ${robotName} not to fetch ${url.pathname}`,
      );
    },
  };
}
