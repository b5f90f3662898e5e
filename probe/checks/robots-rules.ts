/** What one robots.txt asks of one robot: its own group, and nothing else of the file. */
export interface RobotsRules {
  /** `path` with its query, as a URL has it. */
  allows(path: string): boolean;
  /** About what it takes in memory, UTF-16 code units. */
  readonly chars: number;
}

interface Rule {
  readonly allow: boolean;
  /** Its pieces between the stars, in order. */
  readonly pieces: readonly string[];
  /** The path ends where the last piece does. */
  readonly whole: boolean;
  readonly length: number;
}

/** No group of an honest site comes near; what is beyond is left out. */
const mostGroupChars = 65_536;
/** What is beyond it matters to no rule that a person writes. */
const mostPathChars = 2048;

/**
 * RFC 9309, sections 2.2 and 2.3. A file from a stranger: it is walked once, line by line, and only the rules of our
 * group are kept. (A general parser that keeps each rule for each agent named before it needs 4 GB for a file of
 * 10,000 agents and 10,000 rules: seen with robots-parser 3.0.1 and 220 KB.)
 */
export function parseRobots(text: string, robot: string): RobotsRules {
  const wanted = robot.toLowerCase();
  const own: string[] = [];
  const anybody: string[] = [];
  let ownSeen = false;
  /** Groups that the lines now read belong to. */
  let into: readonly string[][] = [];
  let heading = false;
  const chars = new Map<string[], number>();

  for (const [, field = '', value = ''] of text.matchAll(/^[ \t\ufeff]*([A-Za-z-]+)[ \t]*:([^\r\n#]*)/gm)) {
    const name = field.toLowerCase();
    const said = value.trim();
    if (name === 'user-agent') {
      if (!heading) into = [];
      heading = true;
      const agent = said.toLowerCase().replace(/\/.*$/, '').trim();
      if (agent === wanted) ownSeen = true;
      const group = agent === wanted ? own : agent === '*' ? anybody : null;
      if (group && !into.includes(group)) into = [...into, group];
    } else if (name === 'allow' || name === 'disallow') {
      heading = false;
      for (const group of into) {
        const size = (chars.get(group) ?? 0) + said.length + 2;
        if (said === '' || size > mostGroupChars) continue;
        chars.set(group, size);
        group.push(`${name === 'allow' ? '+' : '-'}${said}`);
      }
    }
  }
  // Written anew: a piece of a string would keep the whole file in memory.
  const kept = Buffer.from((ownSeen ? own : anybody).join('\n')).toString();
  const rules = kept === '' ? [] : kept.split('\n').map(readRule);
  return { allows: (path) => decide(rules, canonical(path.slice(0, mostPathChars))), chars: kept.length };
}

function readRule(line: string): Rule {
  const pattern = canonical(line.slice(1));
  const whole = pattern.endsWith('$');
  const pieces = (whole ? pattern.slice(0, -1) : pattern).split(/\*+/);
  return { allow: line.startsWith('+'), pieces, whole, length: pattern.length };
}

/** The longest pattern decides; of two as long the one that allows. */
function decide(rules: readonly Rule[], path: string): boolean {
  let found: Rule | null = null;
  for (const rule of rules) {
    const stronger = !found || rule.length > found.length || (rule.length === found.length && rule.allow);
    if (stronger && matches(rule, path)) found = rule;
  }
  return found?.allow ?? true;
}

/** Each piece at its first place after the one before: with stars alone the earliest is never worse. */
function matches({ pieces, whole }: Rule, path: string): boolean {
  const [first = ''] = pieces;
  const last = pieces.at(-1) ?? '';
  if (!path.startsWith(first)) return false;
  if (pieces.length === 1) return !whole || path.length === first.length;
  let at = first.length;
  for (const piece of pieces.slice(1, whole ? -1 : undefined)) {
    const found = path.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return !whole || (path.length - last.length >= at && path.endsWith(last));
}

/** Both sides percent-encoded in the same way (section 2.2.2). */
function canonical(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\u0021-\u007e]+/g, encodeURIComponent)
    .replace(/%[0-9a-f]{2}/gi, (code) => code.toUpperCase());
}
