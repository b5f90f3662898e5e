/** Whether a hub has lost what it once said was durable, as one does whose database came back from a backup. */
export interface HubLoss {
  /** What each lease says; true, once, when it has said so for long enough. */
  hears(lower: boolean, nowMs: number): boolean;
}

/**
 * One lease that says less proves nothing: replicas look at the database one after the other, a probe that starts holds
 * an old lease, and a hub with Kafka reads the log again from where its backup stood. So long, and so many leases,
 * without one that says otherwise; longer than the hub waits before it raises an alarm for the hole (10 minutes), so
 * that nothing is told away silently.
 */
const patience = { ms: 900_000, leases: 20 } as const;

export function createHubLoss(ms: number = patience.ms, leases: number = patience.leases): HubLoss {
  let sinceMs: number | null = null;
  let heard = 0;
  return {
    hears(lower, nowMs) {
      if (!lower) {
        sinceMs = null;
        heard = 0;
        return false;
      }
      sinceMs ??= nowMs;
      heard += 1;
      if (heard < leases || nowMs - sinceMs < ms) return false;
      sinceMs = null;
      heard = 0;
      return true;
    },
  };
}
