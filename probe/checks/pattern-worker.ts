import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { RE2JS } from 're2js';
import type { Failure } from '../../shared/failure.ts';
import type { Pattern } from '../../shared/pattern.ts';
import { type BodyExpectations, judgeBody, type TextTest } from './body-judge.ts';

/** What one check has for the thread: tests of single texts, and a body with all that is expected of it. */
export interface PatternWork {
  readonly tests: readonly TextTest[];
  readonly body: { readonly expect: BodyExpectations; readonly text: string } | null;
}

/** The first of some texts that matches is looked for. */
export interface PatternSearch {
  readonly pattern: Pattern;
  readonly texts: readonly string[];
}

export interface PatternFound {
  /** Which of the texts it was. */
  readonly at: number;
  /** The whole match, and its groups by their numbers; null: took no part. */
  readonly groups: readonly (string | null)[];
  readonly named: Readonly<Record<string, string | null>>;
}

/** First of all `ready`; then for each work the first failure, for each search what it found, or why none can be told. */
export type PatternAnswer =
  | { readonly ready: true }
  | { readonly failure: Failure | null }
  | { readonly found: PatternFound | null }
  | { readonly problem: string };

const role = 'pattern';

/**
 * A thread that matches and does nothing else. This file is its own entry: beside the source it is loaded by itself,
 * in the bundle `import.meta.url` is the bundle, which comes by here too.
 */
export function startPatternWorker(): Worker {
  return new Worker(new URL(import.meta.url), {
    workerData: { role },
    resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 8, stackSizeMb: 2 },
  });
}

let running = false;

/** The thread's side. */
export function runPatternWorker(): void {
  const port = parentPort;
  if (!port || running) return;
  running = true;
  yieldToMeasuring();
  port.postMessage({ ready: true } satisfies PatternAnswer);
  port.on('message', (work: PatternWork | PatternSearch) => port.postMessage(answer(work)));
}

function answer(work: PatternWork | PatternSearch): PatternAnswer {
  try {
    if ('pattern' in work) return { found: search(work) };
    const { tests, body } = work;
    const first = disappointed(tests);
    if (first || !body) return { failure: first };
    const judged = judgeBody(body.expect, body.text);
    return { failure: judged.failure ?? disappointed(judged.tests) };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

function disappointed(tests: readonly TextTest[]): Failure | null {
  return (
    tests.find(({ texts, pattern, wanted }) => texts.some(compiled(pattern)) !== wanted)?.failure ?? null
  );
}

/** Groups are asked for of the one text that matches: RE2JS finds out whether it does many times faster. */
function search({ pattern, texts }: PatternSearch): PatternFound | null {
  const at = texts.findIndex(compiled(pattern));
  const text = texts[at];
  if (text === undefined) return null;
  if (pattern.engine === 'ecmascript') {
    const match = new RegExp(pattern.pattern, 'u').exec(text);
    const groups = [...(match ?? [])].map((group: string | undefined) => group ?? null);
    return { at, groups, named: { ...match?.groups } };
  }
  const re2 = RE2JS.compile(pattern.pattern);
  const matcher = re2.matcher(text);
  const found = matcher.find();
  const group = (number: number) => (found ? (matcher.group(number) ?? null) : null);
  return {
    at,
    groups: Array.from({ length: re2.groupCount() + 1 }, (_, number) => group(number)),
    named: Object.fromEntries(
      Object.entries(re2.namedGroups()).map(([name, number]) => [name, group(number)]),
    ),
  };
}

type Matches = (text: string) => boolean;

const cache = new Map<string, Matches>();
const cachedMost = 500;

/**
 * Compiled once. Measured on 64 KiB, RE2JS 2.10.0 against re2-wasm 1.0.2, milliseconds: eight everyday patterns on
 * prose 0.4 against 0.6 (its `test` has a DFA and literal prefilters; `matcher().find()` took up to 111 for the same),
 * `[ab]*a[ab]{60}c` on random a and b 61 against 187, `(?:(?:a|b){0,40}a){0,10}c$` 720 against 5. The worst case is
 * what the cap is for; for the others the one without WebAssembly is quicker, and the hub has it too.
 */
function compiled({ pattern, engine }: Pattern): Matches {
  const key = `${engine}:${pattern}`;
  let matches = cache.get(key);
  if (!matches) {
    if (engine === 're2') {
      const re2 = RE2JS.compile(pattern);
      matches = (text) => re2.test(text);
    } else {
      const regExp = new RegExp(pattern, 'u');
      matches = (text) => regExp.test(text);
    }
    if (cache.size >= cachedMost) cache.clear();
    cache.set(key, matches);
  }
  return matches;
}

/** On Linux a niceness is a thread's own: on one core too, checks that are being measured go first. */
function yieldToMeasuring(): void {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    if (thread > 0) setPriority(thread, 10);
  } catch {
    // Elsewhere it shares the processor as equals.
  }
}

if (!isMainThread && (workerData as { role?: string } | null)?.role === role) runPatternWorker();
