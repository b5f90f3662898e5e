import type { NetworkTerms } from './network/anchors.ts';

/** What a probe is told, read once from flags and environment; everything else takes it as a parameter. */
export interface ProbeConfig {
  /** Where the hub is dialled; null: where the token or the identity kept in `dataDir` says. */
  readonly hub: string | null;
  /** Only looked at where this folder never enrolled. */
  readonly token: { readonly text: string } | { readonly file: string } | null;
  readonly dataDir: string;
  /** What operators see it as. */
  readonly name: string;
  readonly delivery: 'auto' | 'kafka' | 'relay';
  /** Threads that run checks: 1 is the main one. */
  readonly workers: number;
  /** Checks a second that the hub may give it. */
  readonly capacity: number;
  /** Checks a second that are never exceeded, whatever the hub gives. */
  readonly maxRate: number | null;
  /** Resident memory above which it checks less. */
  readonly maxMemoryBytes: number | null;
  /** 0 to 19; null: as it was started. */
  readonly nice: number | null;
  /** For the User-Agent. */
  readonly contact: string | null;
  /** As written (`CIDR[:port]`), checked already. */
  readonly allowNetworks: readonly string[];
  readonly allowProxy: boolean;
  readonly network: NetworkTerms;
  readonly hubCaFile: string | null;
  /** What Kafka's brokers are shown where they ask for a certificate. */
  readonly kafkaCertificate: { readonly certFile: string; readonly keyFile: string } | null;
  readonly metrics: { readonly host: string; readonly port: number } | null;
  /** Told by POST when the hub was away for long, and when it is back. */
  readonly orphanWebhook: string | null;
  readonly spoolMaxBytes: number;
  /** Everything that is assigned once, then the end. */
  readonly once: boolean;
  /** For proxies to the hub, and for `${probe:NAME}` in assignments. */
  readonly env: Readonly<Record<string, string | undefined>>;
}
