import type { JsonExpectation } from '../../shared/endpoint-http.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Pattern } from '../../shared/pattern.ts';
import { literalOf } from './literal.ts';

/** What is expected of a body, as an endpoint says it. */
export interface BodyExpectations {
  readonly matches: readonly Pattern[];
  readonly notMatches: readonly Pattern[];
  readonly json: readonly JsonExpectation[];
}

/** One pattern held against texts: wanted in at least one of them, or in none. */
export interface TextTest {
  readonly texts: readonly string[];
  readonly pattern: Pattern;
  readonly wanted: boolean;
  /** What a disappointment is called. */
  readonly failure: Failure;
}

export interface BodyVerdict {
  readonly failure: Failure | null;
  /** Patterns that need an engine: for the worker. */
  readonly tests: readonly TextTest[];
}

/** Plain search and JSON at once; what needs a regular expression is handed on. Pure. */
export function judgeBody(expect: BodyExpectations, text: string): BodyVerdict {
  const tests: TextTest[] = [];
  for (const wanted of [true, false]) {
    for (const pattern of wanted ? expect.matches : expect.notMatches) {
      const literal = literalOf(pattern);
      const why = bodyFailure(pattern, wanted);
      if (literal === null) tests.push({ texts: [text], pattern, wanted, failure: why });
      else if (text.includes(literal) !== wanted) return { failure: why, tests: [] };
    }
  }
  if (expect.json.length === 0) return { failure: null, tests };
  let document: unknown;
  try {
    document = JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
  } catch {
    return { failure: failure('expect.json', 'the body is not JSON'), tests: [] };
  }
  for (const expectation of expect.json) {
    const why = judgeJson(expectation, document, tests);
    if (why !== null)
      return { failure: failure('expect.json', `${shortened(expectation.path)} ${why}`), tests: [] };
  }
  return { failure: null, tests };
}

function bodyFailure({ pattern }: Pattern, wanted: boolean): Failure {
  return failure('expect.body', `the body ${wanted ? 'does not match' : 'matches'} ${shortened(pattern)}`);
}

/** Values stand in no message: they are the body's. */
function judgeJson(expect: JsonExpectation, document: unknown, tests: TextTest[]): string | null {
  const found = atPath(document, expect.path);
  if (expect.exists !== undefined && (found !== undefined) !== expect.exists)
    return expect.exists ? 'is missing' : 'is there';
  if (expect.exists === false) return null;
  const { equals, lt, gt, matches } = expect;
  if (found === undefined && (equals !== undefined || lt !== undefined || gt !== undefined || matches))
    return 'is missing';
  if (equals !== undefined && found !== equals) return 'does not equal what it should';
  if (lt !== undefined && !(typeof found === 'number' && found < lt)) return `is not a number below ${lt}`;
  if (gt !== undefined && !(typeof found === 'number' && found > gt)) return `is not a number above ${gt}`;
  if (matches) {
    const text = textOf(found);
    if (text === null) return 'is nested too deeply';
    const literal = literalOf(matches);
    const why = `does not match ${shortened(matches.pattern)}`;
    if (literal === null) {
      const named = failure('expect.json', `${shortened(expect.path)} ${why}`);
      tests.push({ texts: [text], pattern: matches, wanted: true, failure: named });
    } else if (!text.includes(literal)) return why;
  }
  return null;
}

/** JSON.parse takes any depth, JSON.stringify no more than the stack: a stranger's body must not end as our own bug. */
function textOf(found: unknown): string | null {
  if (typeof found === 'string') return found;
  try {
    return JSON.stringify(found);
  } catch {
    return null;
  }
}

const step = /\.([A-Za-z_][\w-]*)|\[(\d+)\]|\['([^']*)'\]/g;

/** Own members only: what a prototype has is not in the document. */
function atPath(document: unknown, path: string): unknown {
  let at = document;
  for (const [, name, index, quoted] of path.matchAll(step)) {
    if (at === null || typeof at !== 'object') return undefined;
    const isArray = Array.isArray(at);
    if (isArray !== (index !== undefined)) return undefined;
    const key = index ?? name ?? quoted ?? '';
    if (!Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

const shortened = (text: string) => (text.length > 80 ? `${text.slice(0, 79)}…` : text);
