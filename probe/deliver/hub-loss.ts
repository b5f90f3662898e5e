/** Whether a hub has lost what it once said was durable, as one does whose database came back from a backup. */
export interface HubLoss {
  /** What each lease says, and what was known before; true, once, when it has said less for long enough. */
  hears(upTo: number, durable: number, nowMs: number): boolean;
}

/**
 * One lease that says less proves nothing: replicas look at the database one after the other, a probe that starts holds
 * an old lease, and a hub with Kafka reads the log again from where its backup stood: as long as it comes further it
 * may have all of it yet. So long, and so many leases, without one that says otherwise or more; longer than the hub waits before it raises an alarm for the hole (10 minutes), so
 * that nothing is told away silently.
 */
const patience = { ms: 900_000, leases: 20 } as const;

export function createHubLoss(ms: number = patience.ms, leases: number = patience.leases): HubLoss {
  let sinceMs: number | null = null;
  let heard = 0;
  let said = 0;
  return {
    hears(upTo, durable, nowMs) {
      const rose = upTo > said;
      said = upTo;
      if (upTo >= durable || rose) {
        sinceMs = null;
        heard = 0;
      }
      if (upTo >= durable) return false;
      sinceMs ??= nowMs;
      heard += 1;
      if (heard < leases || nowMs - sinceMs < ms) return false;
      sinceMs = null;
      heard = 0;
      return true;
    },
  };
}
