import type { Gap } from '../../shared/batch.ts';

/** Gaps with those that overlap or touch made one, lowest first: what a long outage drops stays a short list. */
export function mergeGaps(gaps: readonly Gap[]): Gap[] {
  const merged: Gap[] = [];
  for (const gap of [...gaps].sort((a, b) => a.fromSeq - b.fromSeq)) {
    const last = merged.at(-1);
    if (last && gap.fromSeq <= last.toSeq + 1) merged[merged.length - 1] = joined(last, gap);
    else merged.push(gap);
  }
  return merged;
}

function joined(a: Gap, b: Gap): Gap {
  // Numbers that were burned held nothing: their instants and their reason say nothing either.
  const [first, second] = a.results === 0 ? [b, a] : [a, b];
  const timed = second.results === 0 ? first : null;
  return {
    fromSeq: Math.min(a.fromSeq, b.fromSeq),
    toSeq: Math.max(a.toSeq, b.toSeq),
    results: a.results + b.results,
    fromScheduledAt: timed?.fromScheduledAt ?? Math.min(a.fromScheduledAt, b.fromScheduledAt),
    toScheduledAt: timed?.toScheduledAt ?? Math.max(a.toScheduledAt, b.toScheduledAt),
    reason: first.reason,
  };
}
