/** What the hub is told, read once from flags and environment; everything else takes it as a parameter. */
export interface HubConfig {
  readonly listen: { readonly host: string; readonly port: number };
  /** PARALLAX_PUBLIC_URL: the origin probes and browsers know; what enrollment tokens and request proofs are bound to. */
  readonly publicUrl: string;
  /** Further Host names that are ours (PARALLAX_HOSTS); the public URL's and the listener's always are. */
  readonly hosts: readonly string[];
  readonly databaseUrl: string;
  /** PARALLAX_KEYS: directory of the hub's private keys, 0700 with files 0600. */
  readonly keysDir: string;
  /** PARALLAX_SECRET: 32 bytes, base64 or hex; seals credentials at rest. */
  readonly secret: Uint8Array;
  /** PARALLAX_SECRET_ALSO: what else opens them, while the secret is changed. */
  readonly alsoSecrets: readonly Uint8Array[];
  /** PARALLAX_ENV: first part of topic names. */
  readonly env: string;
  readonly roles: readonly ('api' | 'ingest' | 'judge' | 'alert')[];
  readonly kafka: HubKafkaConfig | null;
  /** Run migrations at start; else an older schema is refused. */
  readonly migrate: boolean;
  readonly retentionDays: number;
  readonly leaseTtlSeconds: number;
  /** Bounds of one ingest transaction: INGEST_MAX_ROWS, INGEST_MAX_MS. */
  readonly ingestMaxRows: number;
  readonly ingestMaxMs: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** CIDRs whose X-Forwarded-* are believed. */
  readonly trustedProxies: readonly string[];
  readonly logLevel: string;
}

export interface HubKafkaConfig {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly groupId: string;
  readonly partitions: number;
  readonly replication: number;
  readonly retentionMs: number;
  readonly tls: {
    readonly ca: string | null;
    readonly cert: string | null;
    readonly key: string | null;
    /** Where each was read, null where it was given as PEM: read again for every connection. */
    readonly files: { readonly ca: string | null; readonly cert: string | null; readonly key: string | null };
  } | null;
  readonly sasl: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  } | null;
  /** What leases tell probes: listener and how to authenticate; null keeps probes on the relay. */
  readonly probes: {
    readonly brokers: readonly string[];
    readonly auth: 'none' | 'oauthbearer' | 'mtls';
    readonly tls: boolean;
    readonly ca: string | null;
    /** Life of a token for OAUTHBEARER. */
    readonly tokenTtlSeconds: number;
  } | null;
}
