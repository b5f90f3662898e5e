import type { Supervised } from '../process/supervise.ts';
import type { Home } from './home.ts';
import type { Listen } from './listen.ts';

/** One line to the terminal: who says it, and what. */
export type Say = (component: string, line: string) => void;

/** One `parallax up` while it starts and runs. */
export interface Network {
  readonly home: Home;
  readonly listen: Listen;
  /** Where the hub is reached from this machine. */
  readonly origin: string;
  readonly endpoints: string | null;
  readonly allowNetwork: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly say: Say;
  readonly signal: AbortSignal;
  /** What runs, in the order of its start. */
  readonly components: Supervised[];
}
