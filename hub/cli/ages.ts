const steps = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
] as const;

/** '3m ago' of an ISO instant; 'never' for none. */
export function ago(instant: string | null, nowMs: number): string {
  return instant === null ? 'never' : `${span(nowMs - Date.parse(instant))} ago`;
}

/** '3m' from now to an ISO instant; '0s' where it has passed. */
export function until(instant: string, nowMs: number): string {
  return span(Date.parse(instant) - nowMs);
}

function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  for (const [unit, length] of steps) {
    if (seconds >= length) return `${Math.floor(seconds / length)}${unit}`;
  }
  return `${seconds}s`;
}
