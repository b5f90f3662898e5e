import * as z from 'zod';
import { orderSchema } from './order.ts';
import { probeVersionsSchema } from './probe-versions.ts';

const digest = z.string().regex(/^[0-9a-f]{64}$/);
export const streamIdSchema = z.string().regex(/^[0-9a-f]{32}$/);

/** How far results of one spool are safe in PostgreSQL: every seq up to and including `upTo`. */
export const durableSchema = z.object({ stream: streamIdSchema, upTo: z.int().min(0) });
export type Durable = z.output<typeof durableSchema>;

/** Where and how the probe produces, where the hub has Kafka. */
export const kafkaAccessSchema = z.object({
  brokers: z.array(z.string()).min(1),
  topic: z.string(),
  /** `oauthbearer`: tokens from POST /v1/kafka-token. `none`: a broker that asks nobody (a loopback or a trusted network). */
  auth: z.enum(['none', 'oauthbearer', 'mtls']),
  tls: z.boolean(),
  /** PEM of the brokers' CA, where it is not a public one. */
  ca: z.string().nullable(),
});
export type KafkaAccess = z.output<typeof kafkaAccessSchema>;

/** A check asked for once, beside the slots. */
export const jobSchema = z.object({
  kind: z.enum(['confirm']),
  endpointId: z.int().positive(),
  scheduledAt: z.int(),
});

/** `doubtful`: a part of it cannot be believed (its DNS, plain http), or most of its targets failed at once. */
export const networkStates = ['ok', 'doubtful', 'gone'] as const;
export type NetworkState = (typeof networkStates)[number];

/** What a probe says of its own network. */
export const networkReportSchema = z.object({
  state: z.enum(networkStates),
  /** Hub time since when it is so, epoch microseconds. */
  since: z.int(),
  /** What was seen, for a person; where all is well again, what it was. Empty where nothing ever was. */
  why: z.string().max(300),
});
export type NetworkReport = z.output<typeof networkReportSchema>;

/**
 * Fields of the request that came after the first hub was out. A hub says in its leases which of them it reads, and a
 * probe sends no other: the first hubs refuse a request with a field that they do not know.
 */
export const laterRequestFields = ['network', 'clockOffsetUs'] as const;

/** The claims of a `lease+jwt`. Signed even when nothing changed: an unsigned "no change" could be replayed to freeze a probe. */
export const leaseClaimsSchema = z.object({
  iss: z.string(),
  /** The probe's id, in decimal. */
  aud: z.string(),
  region: z.object({ id: z.int().positive(), name: z.string() }),
  /** max(previous + 1, now in ms): moves forward even when the hub's database is restored from a backup. */
  version: z.int().positive(),
  /** SHA-256 of the manifest. */
  manifest: digest,
  durable: z.array(durableSchema).max(64),
  kafka: kafkaAccessSchema.nullable(),
  jobs: z.array(jobSchema).max(1000),
  /** Checks that people wait for; absent for none. */
  orders: z.array(orderSchema).max(20).optional(),
  /** Most milliseconds a result waits for its batch to fill. */
  lingerMs: z.int().min(10).max(60_000),
  /** Of `laterRequestFields`, those that this hub reads; absent for none. */
  reads: z.array(z.string().max(64)).max(64).optional(),
  /** Which probes this hub takes, and what it reads of them; absent from the first hubs. */
  versions: probeVersionsSchema.optional(),
  /** Hub time, epoch microseconds. */
  now: z.int(),
  /** Epoch seconds. */
  iat: z.int(),
  exp: z.int(),
});
export type LeaseClaims = z.output<typeof leaseClaimsSchema>;

/**
 * What a probe says when it asks for a lease. `have` is the version of the lease it holds, 0 for none. What is not known
 * here is passed over: it is of a newer probe.
 */
export const leaseRequestSchema = z.object({
  have: z.int().min(0),
  /** Digest of the manifest in force, null for none: when the hub's differs it answers at once. */
  manifest: digest.nullable(),
  /** Checks a second this probe can run. */
  capacity: z.int().min(0).max(1_000_000),
  /** p99 of the event loop's own delay over the last minute, microseconds. */
  noise: z.int().min(0),
  /** Results dropped since the spool was made (each is in a signed gap record). */
  dropped: z.int().min(0),
  /** The spools whose `durable` it wants to hear of, the current one first. */
  streams: z.array(z.strictObject({ stream: streamIdSchema, lastSeq: z.int().min(0) })).max(64),
  spoolBytes: z.int().min(0),
  version: z.string().max(64),
  runtime: z.string().max(64),
  network: networkReportSchema.optional(),
  /** How far this machine's clock is ahead of hub time, microseconds. */
  clockOffsetUs: z.int().optional(),
});
export type LeaseRequest = z.output<typeof leaseRequestSchema>;

/** POST /v1/lease answers one of these two compact JWS. */
export const leaseAnswerSchema = z.object({ lease: z.string().optional(), revoked: z.string().optional() });
export type LeaseAnswer = z.output<typeof leaseAnswerSchema>;

/** The claims of a `revoked+jwt`: stops the probe and wipes its cache. */
export const revokedClaimsSchema = z.object({
  iss: z.string(),
  aud: z.string(),
  iat: z.int(),
  reason: z.string().max(200),
});
export type RevokedClaims = z.output<typeof revokedClaimsSchema>;
