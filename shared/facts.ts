import { clipUtf8 } from './failure.ts';

/** One thing that a protocol saw. Texts come from strangers: escape them wherever shown. */
export type FactValue = string | number | boolean | null | FactValue[] | { [key: string]: FactValue };

/**
 * What a protocol saw beside the fields that all results have, under names of its own (`answers`, `rcode`, `lossPercent`);
 * what a unit has says so in its name. Null where it has nothing to add, as most http results.
 */
export type Facts = Record<string, FactValue>;

/** Most bytes of UTF-8 of a result's facts as JSON. */
export const maxFactsBytes = 2048;
/** Most bytes of one text in them. */
export const maxFactTextBytes = 200;
const maxDepth = 4;
const maxItems = 50;

/** The facts as JSON text, each text clipped, and the last of them left out (`cut: true` says so) until they fit. */
export function factsText(facts: Facts): string {
  const entries = Object.entries(facts).map(([key, value]) => [clippedText(key), clipped(value, 1)] as const);
  for (let count = entries.length; ; count -= 1) {
    const kept = Object.fromEntries(entries.slice(0, count));
    const text = JSON.stringify(count === entries.length ? kept : { ...kept, cut: true });
    if (count === 0 || Buffer.byteLength(text) <= maxFactsBytes) return text;
  }
}

function clipped(value: FactValue, depth: number): FactValue {
  if (typeof value === 'string') return clippedText(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (value === null || typeof value === 'boolean') return value;
  if (depth === maxDepth) return null;
  if (Array.isArray(value)) return value.slice(0, maxItems).map((item) => clipped(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, maxItems)
      .map(([key, inner]) => [clippedText(key), clipped(inner, depth + 1)]),
  );
}

/** Names too: PostgreSQL's jsonb takes neither NUL nor half a surrogate pair, wherever it stands. */
function clippedText(text: string): string {
  return clipUtf8(text.replaceAll('\0', '\ufffd'), maxFactTextBytes);
}

/** Of text that came from a stranger; null where it is none that a probe would have written. */
export function readFacts(text: string): Facts | null {
  if (Buffer.byteLength(text) > maxFactsBytes) return null;
  try {
    const value: unknown = JSON.parse(text);
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return null;
    const facts = value as Facts;
    return JSON.stringify(clipped(facts, 0)) === JSON.stringify(facts) ? facts : null;
  } catch {
    return null;
  }
}
