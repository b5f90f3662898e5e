/** How many times larger one median is than the other, with the interval that holds the truth 95 times of 100. */
export interface Ratio {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** A ratio on the logarithmic scale with its variance: what can be put together over many endpoints. */
export interface LogRatio {
  readonly log: number;
  readonly variance: number;
}

/** Fewer measurements of a side than this say nothing about its median. */
export const leastForMedian = 8;
/** Times are whole microseconds: a spread smaller than that of their rounding is none. */
const leastVariance = 1e-8;
const z95 = 1.959_963_985;

/** The q-th quantile of what is sorted already, between its neighbours. */
export function quantile(sorted: Float64Array, q: number): number {
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)] ?? 0, sorted[Math.ceil(at)] ?? 0];
  return low + (high - low) * (at - Math.floor(at));
}

/**
 * Of two independent sets of times, both sorted; null where one is too small. Free of any idea how latencies are spread
 * (Price and Bonett, 2002, "Distribution-free confidence intervals for difference and ratio of medians", Journal of
 * Statistical Computation and Simulation 72): their medians' variance comes from the ranks around them.
 */
export function medianRatio(a: Float64Array, b: Float64Array): LogRatio | null {
  if (a.length < leastForMedian || b.length < leastForMedian) return null;
  const [medianA, medianB] = [quantile(a, 0.5), quantile(b, 0.5)];
  if (medianA <= 0 || medianB <= 0) return null;
  const variance = logMedianVariance(a) + logMedianVariance(b);
  return { log: Math.log(medianB / medianA), variance: Math.max(variance, leastVariance) };
}

/**
 * One ratio of many endpoints' own, weighted by how sure each is, and by how much they differ among themselves
 * (DerSimonian and Laird, 1986): a probe that is slow to one target alone is not called slow to a hundredth.
 */
export function combined(ratios: readonly LogRatio[]): Ratio | null {
  if (ratios.length === 0) return null;
  const between = betweenVariance(ratios);
  const weights = ratios.map(({ variance }) => 1 / (variance + between));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const log = ratios.reduce((total, one, index) => total + one.log * (weights[index] ?? 0), 0) / sum;
  const half = z95 * Math.sqrt(1 / sum);
  return { value: Math.exp(log), low: Math.exp(log - half), high: Math.exp(log + half) };
}

function betweenVariance(ratios: readonly LogRatio[]): number {
  const weights = ratios.map(({ variance }) => 1 / variance);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const squares = weights.reduce((total, weight) => total + weight ** 2, 0);
  const mean = ratios.reduce((total, { log, variance }) => total + log / variance, 0) / sum;
  const q = ratios.reduce((total, { log, variance }) => total + (log - mean) ** 2 / variance, 0);
  const scale = sum - squares / sum;
  return scale > 0 ? Math.max(0, (q - (ratios.length - 1)) / scale) : 0;
}

function logMedianVariance(sorted: Float64Array): number {
  const n = sorted.length;
  const c = Math.max(1, Math.round((n + 1) / 2 - Math.sqrt(n)));
  const spread = Math.log(Math.max(1, sorted[n - c] ?? 1)) - Math.log(Math.max(1, sorted[c - 1] ?? 1));
  return (spread / (2 * normalQuantile(1 - binomialUpTo(c - 1, n)))) ** 2;
}

/** P(X <= k) of n tosses of a fair coin. */
function binomialUpTo(k: number, n: number): number {
  let logTerm = -n * Math.LN2;
  let sum = Math.exp(logTerm);
  for (let i = 1; i <= k; i += 1) {
    logTerm += Math.log((n - i + 1) / i);
    sum += Math.exp(logTerm);
  }
  return sum;
}

/** Acklam's rational approximation, right to nine digits. */
function normalQuantile(p: number): number {
  const q = Math.sqrt(-2 * Math.log(1 - p));
  if (p > 0.97575) {
    const top =
      ((((-7.784894002430293e-3 * q - 0.3223964580411365) * q - 2.400758277161838) * q - 2.549732539343734) *
        q +
        4.374664141464968) *
        q +
      2.938163982698783;
    const bottom =
      (((7.784695709041462e-3 * q + 0.3224671290700398) * q + 2.445134137142996) * q + 3.754408661907416) *
        q +
      1;
    return -top / bottom;
  }
  const [x, r] = [p - 0.5, (p - 0.5) ** 2];
  const top =
    (((((-39.69683028665376 * r + 220.9460984245205) * r - 275.9285104469687) * r + 138.357751867269) * r -
      30.66479806614716) *
      r +
      2.506628277459239) *
    x;
  const bottom =
    ((((-54.47609879822406 * r + 161.5858368580409) * r - 155.6989798598866) * r + 66.80131188771972) * r -
      13.28068155288572) *
      r +
    1;
  return top / bottom;
}
