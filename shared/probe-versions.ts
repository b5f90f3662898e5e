import * as z from 'zod';

/**
 * The oldest probe that a hub of this version takes for good. It is raised where the hub no longer speaks as the older
 * ones do; each hub then takes those for another 30 days from the day it was installed, and tells them so.
 */
export const oldestProbe = '0.1.0';

export const graceDays = 30;

/** What a hub says in its leases of the probes that it takes. One that says nothing reads batches of schema 1. */
export const probeVersionsSchema = z.object({
  /** Versions of the batch schema that it reads. */
  batchSchemas: z.array(z.int().positive()).max(64),
  /** The hub's own: a probe of this version is as new as one can be here. */
  newest: z.string().max(64),
  oldest: z.string().max(64),
  /** Probes older than `oldest` get no lease from then on: epoch seconds. */
  refusedFrom: z.int().positive(),
});
export type ProbeVersions = z.output<typeof probeVersionsSchema>;

/** Below 0 where `a` is older than `b`, by SemVer's precedence; what is no version is as old as anything. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parse(a), parse(b)];
  if (!left || !right) return Number(left !== null) - Number(right !== null);
  for (const [index, number] of left.core.entries()) {
    const difference = number - (right.core[index] ?? 0);
    if (difference !== 0) return difference;
  }
  // 1.0.0-beta comes before 1.0.0 (section 11).
  if (left.pre.length === 0 || right.pre.length === 0) return right.pre.length - left.pre.length;
  for (let at = 0; at < Math.max(left.pre.length, right.pre.length); at += 1) {
    const difference = comparePart(left.pre[at], right.pre[at]);
    if (difference !== 0) return difference;
  }
  return 0;
}

function parse(text: string): { readonly core: readonly number[]; readonly pre: readonly string[] } | null {
  const found = /^v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/.exec(text);
  if (!found) return null;
  const [, major, minor, patch, pre] = found;
  return {
    core: [Number(major), Number(minor), Number(patch)],
    pre: pre === undefined ? [] : pre.split('.'),
  };
}

function comparePart(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return Number(a !== undefined) - Number(b !== undefined);
  const [left, right] = [a, b].map((part) => (/^\d+$/.test(part) ? Number(part) : null));
  if (typeof left === 'number' && typeof right === 'number') return left - right;
  if (typeof left === 'number' || typeof right === 'number') return typeof left === 'number' ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
