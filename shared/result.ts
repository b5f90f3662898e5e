import type { Facts } from './facts.ts';
import type { Failure, FailureCode, Outcome } from './failure.ts';

/** Why a check ran: on its slot, once more because the endpoint is new or edited, or because the hub asked to confirm. */
export const resultKinds = ['slot', 'extra', 'confirm'] as const;
export type ResultKind = (typeof resultKinds)[number];

/** Integer microseconds from a monotonic clock; a phase that was not reached is null. The deciding attempt's. */
export interface Timings {
  readonly dns: number | null;
  readonly connect: number | null;
  readonly tls: number | null;
  readonly wait: number | null;
  readonly transfer: number | null;
  readonly total: number;
}

/** What is said of the peer's certificate. Names come from strangers: 200 bytes at most, escaped wherever shown. */
export interface TlsFacts {
  readonly version: string;
  readonly cipher: string;
  /** Epoch seconds. */
  readonly notAfter: number;
  readonly issuer: string;
  /** SHA-256 of the leaf certificate's DER, lower-case hex. */
  readonly fingerprint: string;
}

/** One execution of a check as the probe observed it. Instants are epoch microseconds on hub time. */
export interface Result {
  readonly endpointId: number;
  readonly rev: number;
  readonly regionId: number;
  readonly probeId: number;
  readonly kind: ResultKind;
  readonly scheduledAt: number;
  readonly startedAt: number;
  readonly attempts: number;
  readonly outcome: Outcome;
  readonly failure: Failure | null;
  /** The first attempt's failure where a retry changed it. */
  readonly firstFailure: FailureCode | null;
  /** The probe's own noise or network spoilt this measurement: it never votes. */
  readonly suspect: boolean;
  readonly status: number | null;
  readonly httpVersion: string | null;
  readonly remoteIp: string | null;
  readonly redirects: number;
  readonly timings: Timings;
  /** Body bytes received on the wire. */
  readonly bytes: number;
  readonly truncated: boolean;
  readonly tls: TlsFacts | null;
  /** What this protocol alone has to tell. */
  readonly facts: Facts | null;
  /** JSON of what was seen when it failed (evidence.ts); null nearly always. */
  readonly evidence: string | null;
  /** Microseconds between scheduledAt and the moment the check really began. */
  readonly lateBy: number;
}

/** What a protocol's check reports; the runner adds who, when and how often. */
export type Observation = Pick<
  Result,
  | 'outcome'
  | 'failure'
  | 'status'
  | 'httpVersion'
  | 'remoteIp'
  | 'redirects'
  | 'timings'
  | 'bytes'
  | 'truncated'
  | 'tls'
  | 'facts'
  | 'evidence'
>;
