export interface BrakeOptions {
  /** Given back each second: a fiftieth of a core. A probe with 500 checks a second, all refused, stays below a third. */
  readonly refillUs?: number;
  /** What may be wasted at once: 1200 batches that were there already, as a probe sends again at once after an outage. */
  readonly burstUs?: number;
  /** Most that are kept in mind; the one longest without a fault goes first. */
  readonly maxKept?: number;
}

/**
 * What each may waste of the hub's time. Time is the log's: a backlog that is read in a minute was not sent in one, and
 * whoever reads the log again decides the same.
 */
export interface Brake {
  /** Whether what this one sends is to be put off. `atMs`: when the log, or the hub, got it. */
  holds(who: number | string, atMs: number): boolean;
  charge(who: number | string, us: number): void;
}

interface Budget {
  leftUs: number;
  atMs: number;
  held: boolean;
}

/** A log that is read from an earlier place begins anew. */
const backwardsMs = 60_000;

export function createBrake(options: BrakeOptions = {}): Brake {
  const { refillUs = 20_000, burstUs = 600_000, maxKept = 10_000 } = options;
  const budgets = new Map<number | string, Budget>();
  /** Let go with room for a while, so that it is not held and let go with every batch. */
  const enoughUs = burstUs / 10;

  return {
    holds(who, atMs) {
      const budget = budgets.get(who);
      if (!budget) return false;
      if (atMs < budget.atMs - backwardsMs) {
        // What was durable then is with its probe no more: it is not to be put off for what was wasted since.
        budgets.delete(who);
        return false;
      }
      if (atMs > budget.atMs) {
        if (Number.isFinite(budget.atMs)) budget.leftUs += ((atMs - budget.atMs) / 1000) * refillUs;
        budget.atMs = atMs;
      }
      if (budget.leftUs >= burstUs) {
        budgets.delete(who);
        return false;
      }
      if (budget.leftUs >= enoughUs) budget.held = false;
      return budget.held;
    },
    charge(who, us) {
      const budget = budgets.get(who) ?? {
        leftUs: burstUs,
        atMs: Number.NEGATIVE_INFINITY,
        held: false,
      };
      // What was in hand when it was used up is not held against it for longer.
      budget.leftUs = Math.max(0, budget.leftUs - us);
      budget.held ||= budget.leftUs === 0;
      budgets.delete(who);
      budgets.set(who, budget);
      for (const oldest of budgets.keys()) {
        if (budgets.size <= maxKept) break;
        budgets.delete(oldest);
      }
    },
  };
}
