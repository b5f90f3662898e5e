import * as z from 'zod';

/** What a running hub says of itself every few seconds, for whoever looks from elsewhere. Kept as jsonb. */
export const replicaReportSchema = z.object({
  /** Where it listens: with the host it tells a start after a crash from another replica. */
  listen: z.string(),
  bus: z.object({
    kind: z.enum(['direct', 'kafka']),
    ready: z.boolean(),
    reason: z.string().nullable(),
    lag: z.number().nullable(),
    /** The partition that is furthest behind, of those that are this replica's. */
    slowest: z.object({ partition: z.number(), lag: z.number() }).nullable().default(null),
  }),
  /** As /readyz tells them. */
  missing: z.array(z.object({ what: z.string(), why: z.string() })),
  /** Results stored a second, between this report and the one before. */
  rowsASecond: z.number(),
  /** This machine's clock less the database's, milliseconds. */
  clockSkewMs: z.number(),
  rssBytes: z.number(),
  pool: z.object({ total: z.number(), idle: z.number(), waiting: z.number() }),
  leaseTtlSeconds: z.number(),
  /** Tells which PARALLAX_SECRET it seals with, and nothing of it (hub/trust/check-secret.ts). */
  sealsWith: z.string().optional(),
  retentionDays: z.number(),
  /** Certificates it holds, with the instant at which each ends, epoch milliseconds. */
  certificates: z.array(z.object({ what: z.string(), file: z.string(), endsAtMs: z.number() })),
  /** Of the database's own disk, where that is this machine's. */
  disk: z.object({ path: z.string(), freeBytes: z.number(), totalBytes: z.number() }).nullable(),
});
export type ReplicaReport = z.output<typeof replicaReportSchema>;
