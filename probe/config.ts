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
  /** As written (`CIDR[:port]`), checked already. */
  readonly allowNetworks: readonly string[];
  readonly allowProxy: boolean;
  readonly hubCaFile: string | null;
  /** What Kafka's brokers are shown where they ask for a certificate. */
  readonly kafkaCertificate: { readonly certFile: string; readonly keyFile: string } | null;
  readonly metrics: { readonly host: string; readonly port: number } | null;
  readonly spoolMaxBytes: number;
  /** For proxies to the hub, and for `${probe:NAME}` in assignments. */
  readonly env: Readonly<Record<string, string | undefined>>;
}
