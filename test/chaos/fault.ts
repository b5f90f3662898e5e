import type { MayReject, Violation } from './invariants/invariant.ts';
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
  /** It needs something that this machine may lack; the reason, where it does, is printed. */
  readonly cannot?: (network: ChaosNetwork) => Promise<string | null>;
  /** Not drawn by a seed: only where --faults names it. */
  readonly onRequest?: boolean;
  /** Breaks it now; what it draws comes from `random` alone. Where it throws, everything is as it was. */
  inject(network: ChaosNetwork, random: Random, signal: AbortSignal): Promise<Injected>;
}

export interface Injected {
  /** What was done to whom, for people: `probe b-1 stopped for 12 s`. */
  readonly detail: string;
  /** False where the chance did not come by in time: it is told, and not counted. */
  readonly happened?: boolean;
  /** What is wrong with the system, seen while the fault was injected. */
  readonly violations?: readonly Violation[];
  /** Makes whole again, and may take its time; called once. */
  heal(): Promise<void>;
  /**
   * Acknowledged results that the fault itself destroyed, as resultKey writes them: they may be lost if the system says
   * so, with a gap record. Asked after heal().
   */
  destroyed?(): Promise<ReadonlySet<string>>;
  /** Of what it destroyed, results whose loss the probe can see: a gap record has to tell of them. */
  readonly toBeTold?: ReadonlySet<string>;
  /** What honest probes may be refused because of it, until the round is settled. */
  readonly mayReject?: readonly MayReject[];
  /** The database lost what it had committed last: what else the checker must not take for a fault of ours. */
  readonly databaseWentBack?: boolean;
}
