import type { ChaosNetwork } from './network.ts';
import type { Random } from './random.ts';

export type FaultArea = 'probe' | 'network' | 'hub' | 'postgres' | 'kafka';

/** One way to break the network. It breaks it, and mends it: the machine decides when, and what else is broken then. */
export interface Fault {
  /** `area.what`, as the ledger and --faults know it. */
  readonly name: string;
  readonly area: FaultArea;
  /** Faults that cannot stand beside it: names, or areas followed by `.*`. */
  readonly conflicts?: readonly string[];
  /** Reasons for which honest results may be refused because of it. */
  readonly mayReject?: readonly string[];
  /** It needs something that this machine may lack; the reason, where it does, is printed. */
  readonly cannot?: (network: ChaosNetwork) => Promise<string | null>;
  /** Not drawn by a seed: only where --faults names it. */
  readonly onRequest?: boolean;
  /** Breaks it now; what it draws comes from `random` alone. */
  inject(network: ChaosNetwork, random: Random, signal: AbortSignal): Promise<Injected>;
}

export interface Injected {
  /** What was done to whom, for people: `probe b-1 stopped for 12 s`. */
  readonly detail: string;
  /** Makes whole again, and may take its time; called once. */
  heal(): Promise<void>;
  /**
   * Acknowledged results that the fault itself destroyed, as resultKey writes them: they may be lost if the system says
   * so, with a gap record. Asked after heal().
   */
  destroyed?(): Promise<ReadonlySet<string>>;
  /** The database lost what it had committed last: what else the checker must not take for a fault of ours. */
  readonly databaseWentBack?: boolean;
}
