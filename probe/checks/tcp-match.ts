import { type Failure, failure } from '../../shared/failure.ts';
import type { Pattern } from '../../shared/pattern.ts';
import type { Attempt } from './attempt.ts';
import { literalOf } from './literal.ts';
import type { PatternLanes } from './pattern-lanes.ts';
import type { PatternFound } from './pattern-worker.ts';
import type { Wire } from './tcp-wire.ts';

/** For patterns of one check altogether: the clock stands while they run. */
const mostPatternMs = 2000;

/** The first of these lines that a pattern matches; null where it matches none. */
export type FindLine = (
  pattern: Pattern,
  lines: readonly string[],
  wire: Pick<Wire, 'leaveOut'>,
) => Promise<PatternFound | Failure | null>;

/** Plain text at once, all else in a thread of its own: a line may have 64 KiB, and comes from a stranger. */
export function createLineFinder(patterns: PatternLanes, attempt: Attempt): FindLine {
  let spentMs = 0;
  return async (pattern, lines, wire) => {
    const plain = plainTest(pattern);
    if (plain) {
      const at = lines.findIndex(plain);
      return at < 0 ? null : { at, groups: [pattern.pattern], named: {} };
    }
    const goOn = attempt.pause();
    const beganMs = performance.now();
    const found = await patterns.find({ pattern, texts: lines });
    const tookMs = performance.now() - beganMs;
    spentMs += tookMs;
    wire.leaveOut(tookMs);
    goOn();
    if (spentMs <= mostPatternMs || (found && 'code' in found)) return found;
    const detail = `the patterns took more than ${mostPatternMs} ms: simpler ones would do better`;
    return failure('probe.saturated', detail);
  };
}

/** For a text without operators, also at the start of a line (`^220 `). */
function plainTest({ pattern, engine }: Pattern): ((line: string) => boolean) | null {
  const anchored = pattern.startsWith('^');
  const literal = literalOf({ pattern: anchored ? pattern.slice(1) : pattern, engine });
  if (literal === null) return null;
  return anchored ? (line) => line.startsWith(literal) : (line) => line.includes(literal);
}
