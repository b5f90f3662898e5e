/** A sample of something that should not grow. */
export interface Sample {
  readonly atMs: number;
  readonly value: number;
}

export interface Slope {
  /** Of `value` an hour. */
  readonly perHour: number;
  /** Its standard error. */
  readonly error: number;
  readonly mean: number;
}

/**
 * Least squares over the lows: a collector of garbage makes saw teeth, whose tops say nothing and whose feet say what
 * stays. The samples are cut into `parts` of equal length, of each the lowest counts. Null for fewer than four parts
 * with a sample.
 */
export function slopeOf(samples: readonly Sample[], parts = 12): Slope | null {
  const [first] = samples;
  const last = samples.at(-1);
  if (!first || !last || last.atMs === first.atMs) return null;
  const partMs = (last.atMs - first.atMs) / parts;
  const lows = new Map<number, Sample>();
  for (const sample of samples) {
    const part = Math.min(parts - 1, Math.floor((sample.atMs - first.atMs) / partMs));
    const low = lows.get(part);
    if (!low || sample.value < low.value) lows.set(part, sample);
  }
  const points = [...lows.values()].map(
    ({ atMs, value }) => [(atMs - first.atMs) / 3_600_000, value] as const,
  );
  if (points.length < 4) return null;
  const count = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count;
  const mean = points.reduce((sum, [, y]) => sum + y, 0) / count;
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const perHour = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - mean), 0) / spread;
  const rest = points.reduce((sum, [x, y]) => sum + (y - mean - perHour * (x - meanX)) ** 2, 0);
  return { perHour, error: Math.sqrt(rest / (count - 2) / spread), mean };
}

/** Whether it grows by more than `mostPerHour`, beyond what chance explains (two standard errors). */
export function grows({ perHour, error }: Slope, mostPerHour: number): boolean {
  return perHour - 2 * error > mostPerHour;
}
