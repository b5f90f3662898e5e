/** How far behind storing was, second by second. */
export interface LagPoint {
  readonly second: number;
  /** Results produced that are not stored yet. */
  readonly lag: number;
}

/** Results a second by which the lag grows, over the points: least squares. */
export function lagSlope(points: readonly LagPoint[]): number {
  const count = points.length;
  if (count < 2) return 0;
  const meanSecond = points.reduce((sum, { second }) => sum + second, 0) / count;
  const meanLag = points.reduce((sum, { lag }) => sum + lag, 0) / count;
  const over = points.reduce((sum, { second, lag }) => sum + (second - meanSecond) * (lag - meanLag), 0);
  const under = points.reduce((sum, { second }) => sum + (second - meanSecond) ** 2, 0);
  return under === 0 ? 0 : over / under;
}
