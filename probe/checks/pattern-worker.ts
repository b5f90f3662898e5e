import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { RE2JS } from 're2js';
import type { Pattern } from '../../shared/pattern.ts';

/** Texts, and the patterns that are held against them. */
export interface MatchGroup {
  readonly texts: readonly string[];
  readonly patterns: readonly Pattern[];
}

/** For each group and pattern whether any of the texts matches; or why that cannot be said. */
export type MatchAnswer = { readonly found: readonly (readonly boolean[])[] } | { readonly problem: string };

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
  port.on('message', (groups: readonly MatchGroup[]) => port.postMessage(answer(groups)));
}

function answer(groups: readonly MatchGroup[]): MatchAnswer {
  try {
    return {
      found: groups.map(({ texts, patterns }) =>
        patterns.map((pattern) => {
          const matches = compiled(pattern);
          return texts.some(matches);
        }),
      ),
    };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

type Matches = (text: string) => boolean;

const cache = new Map<string, Matches>();
const cachedMost = 500;

/**
 * Compiled once. Measured on 64 KiB of prose on this kind of machine, RE2JS 2.10 against re2-wasm 1.0.2: see
 * test/probe/checks/pattern-engines.md for the patterns and figures.
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
