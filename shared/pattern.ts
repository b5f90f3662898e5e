import { RE2JS } from 're2js';
import * as z from 'zod';

/**
 * A regular expression. RE2 syntax and linear time unless `engine: ecmascript`, which allows lookaround
 * and runs in a worker that is killed at its cap.
 */
export interface Pattern {
  readonly pattern: string;
  readonly engine: 're2' | 'ecmascript';
}

const maxPatternLength = 4096;

/** Null where the pattern compiles, else what is wrong and where, for the person who wrote it. */
export function patternProblem({ pattern, engine }: Pattern): string | null {
  if (engine === 'ecmascript') {
    try {
      new RegExp(pattern, 'u');
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
  const lookaround = findLookaround(pattern);
  if (lookaround) {
    return (
      `lookaround '${lookaround.opening}' at position ${lookaround.index} cannot be matched in linear time: ` +
      'put what must be there in `matches` and what must not in `notMatches`, or write {pattern, engine: ecmascript}'
    );
  }
  try {
    RE2JS.compile(pattern);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The groups of a pattern that compiles: how many, and those that have a name. */
export function patternGroups({ pattern, engine }: Pattern): {
  readonly count: number;
  readonly names: readonly string[];
} {
  if (engine === 're2') {
    const compiled = RE2JS.compile(pattern);
    return { count: compiled.groupCount(), names: Object.keys(compiled.namedGroups()) };
  }
  // With an empty alternative it matches anything, and tells its groups.
  const match = new RegExp(`${pattern}|`, 'u').exec('');
  return { count: (match?.length ?? 1) - 1, names: Object.keys(match?.groups ?? {}) };
}

/** The first lookahead or lookbehind; an escaped bracket or one in a character class opens none. */
function findLookaround(pattern: string): { readonly opening: string; readonly index: number } | null {
  const part =
    /\\Q[\s\S]*?(?:\\E|$)|\\[\s\S]|\[\^?\]?(?:\\[\s\S]|\[:\^?\w+:\]|[^\]\\])*\]|(\(\?(?:=|!|<=|<!))/g;
  for (const match of pattern.matchAll(part)) {
    if (match[1] !== undefined) return { opening: match[1], index: match.index };
  }
  return null;
}

const patternForm = z.strictObject({
  pattern: z.string().max(maxPatternLength),
  engine: z.enum(['re2', 'ecmascript']).default('re2'),
});

/** Written as text (RE2) or as {pattern, engine}; encodes back to the shorter form. */
export const patternSchema = z
  .codec(z.union([z.string().max(maxPatternLength), patternForm]), patternForm, {
    decode: (value) => (typeof value === 'string' ? { pattern: value, engine: 're2' as const } : value),
    encode: ({ pattern, engine = 're2' }) => (engine === 're2' ? pattern : { pattern, engine }),
  })
  .superRefine((value, context) => {
    const problem = patternProblem(value);
    if (problem) context.addIssue({ code: 'custom', message: problem });
  });
