import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import avro from 'avsc';
import { type Columns, fromColumns, resultColumns, toColumns, type WireResult } from './batch-columns.ts';
import { batchSchemas, currentBatchSchema, firstColumnSchema } from './batch-schema.ts';
import { boundArrays } from './bounded-arrays.ts';
import { isEvidence } from './evidence.ts';
import { factsText, readFacts } from './facts.ts';
import { type FailureCode, failureTable, isFailureCode, outcomes } from './failure.ts';
import { type Result, resultKinds, type TlsFacts } from './result.ts';

export const maxBatchResults = 500;
/** Most bytes of a batch's value on the wire. */
export const maxBatchBytes = 256 * 1024;
/** Most bytes a value may inflate to. */
export const maxInflatedBytes = 2 * 1024 * 1024;

/** What a full spool dropped: a signed statement that stands in the place of the batches. */
export interface Gap {
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly results: number;
  readonly fromScheduledAt: number;
  readonly toScheduledAt: number;
  readonly reason: string;
}

/** Up to 500 results sealed together by one probe: one Kafka message. */
export interface Batch {
  readonly probeId: number;
  readonly regionId: number;
  /** 32 lower-case hex digits. */
  readonly stream: string;
  /** From 1, without holes, over restarts. */
  readonly seq: number;
  readonly leaseVersion: number;
  /** Epoch microseconds. */
  readonly sealedAt: number;
  readonly results: readonly Result[];
  readonly gaps: readonly Gap[];
}

/** A batch as it travels: the exact bytes that were signed, and the headers beside them. */
export interface SealedBatch {
  /** The stream id: the Kafka key. */
  readonly key: string;
  readonly value: Uint8Array;
  readonly headers: {
    /** RFC 7638 thumbprint of the probe's key. */
    readonly kid: string;
    /** Detached Ed25519 over `value`, 64 bytes. */
    readonly sig: Uint8Array;
    /** Batch schema version, decimal. */
    readonly schema: string;
  };
}

export class BatchError extends Error {
  readonly code: 'schema_unknown' | 'too_large' | 'inflate' | 'decode' | 'invalid';
  constructor(code: BatchError['code'], message: string) {
    super(message);
    this.name = 'BatchError';
    this.code = code;
  }
}

/** More than a batch may hold, so that one with a few too many is told by its number. */
const mostArrayItems = 4 * maxBatchResults;

const typeOf = (schema: object, mostItems: number) =>
  avro.Type.forSchema(schema as avro.Schema, { typeHook: boundArrays(mostItems) });
const types = new Map(
  Object.entries(batchSchemas).map(([version, schema]) => {
    const mostItems = Number(version) < firstColumnSchema ? mostArrayItems : mostArrayItems * resultColumns;
    return [Number(version), typeOf(schema, mostItems)];
  }),
);
/** Rows of all versions are read as those of the newest that has rows. */
const rowReader = types.get(firstColumnSchema - 1) as avro.Type;
const rowResolvers = new Map(
  [...types]
    .filter(([version]) => version < firstColumnSchema)
    .map(([version, type]) => [version, rowReader.createResolver(type)]),
);

/**
 * The bytes to sign and send, in this version of the schema: what it has no place for is left out. Throws BatchError `too_large` where they pass
 * maxBatchBytes: seal fewer results.
 */
export function encodeBatch(batch: Batch, schema = currentBatchSchema): Uint8Array {
  const type = types.get(schema);
  if (!type) throw new BatchError('schema_unknown', `batch schema ${schema} is not known here`);
  const base = batch.results.reduce((least, result) => Math.min(least, result.scheduledAt), batch.sealedAt);
  const rows = batch.results.map((result) => rowOf(result, base));
  const stream = Buffer.from(batch.stream, 'hex');
  const inColumns = schema >= firstColumnSchema;
  const raw = type.toBuffer({ ...batch, stream, base, ...(inColumns ? toColumns(rows) : { results: rows }) });
  const value = zstdCompressSync(raw, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  const inflated = inColumns ? writtenOut(rows) : raw.length;
  if (value.length > maxBatchBytes || Math.max(raw.length, inflated) > maxInflatedBytes) {
    throw new BatchError(
      'too_large',
      `a batch of ${batch.results.length} results takes ${value.length} bytes`,
    );
  }
  return value;
}

function rowOf(result: Result, base: number): WireResult {
  const { failure, facts } = result;
  return {
    endpointId: result.endpointId,
    rev: result.rev,
    kind: result.kind,
    scheduled: result.scheduledAt - base,
    lateBy: result.lateBy,
    attempts: result.attempts,
    outcome: result.outcome,
    failureCode: failure ? failure.code : null,
    failureMessage: failure ? failure.message : null,
    firstFailure: result.firstFailure,
    suspect: result.suspect,
    status: result.status,
    httpVersion: result.httpVersion,
    remoteIp: result.remoteIp,
    redirects: result.redirects,
    timings: result.timings,
    bytes: result.bytes,
    truncated: result.truncated,
    tls: result.tls,
    // Results that an older probe left in its spool know neither.
    facts: facts ? factsText(facts) : null,
    evidence: result.evidence ?? null,
  };
}

/** A batch as far as this code can read it. */
export interface OpenedBatch extends Batch {
  /** Results whose words are not known here, as a newer probe's may be: `wire` is what stands in the record. */
  readonly refused: readonly { readonly why: string; readonly wire: unknown }[];
  /** Of the record, before it was compressed, with what it names several times counted each time: about what it takes in memory. */
  readonly inflatedBytes: number;
}

/** Throws BatchError; what it returns has the shape of a Batch, every code known and every number finite. */
export function decodeBatch(value: Uint8Array, schemaVersion: string): Batch {
  const { refused, inflatedBytes: _, ...batch } = openBatch(value, schemaVersion);
  if (refused[0]) throw new BatchError('invalid', refused[0].why);
  return batch;
}

/** As decodeBatch, but a result that cannot be understood does not spoil the others. */
export function openBatch(value: Uint8Array, schemaVersion: string): OpenedBatch {
  const version = /^[1-9]\d{0,3}$/.test(schemaVersion) ? Number(schemaVersion) : 0;
  const type = types.get(version);
  if (!type)
    throw new BatchError('schema_unknown', `batch schema ${schemaVersion.slice(0, 20)} is not known here`);
  if (value.length > maxBatchBytes) throw new BatchError('too_large', `${value.length} bytes`);
  let raw: Buffer;
  try {
    raw = zstdDecompressSync(value, { maxOutputLength: maxInflatedBytes });
  } catch (error) {
    throw new BatchError('inflate', error instanceof Error ? error.message : String(error));
  }
  const inColumns = version >= firstColumnSchema;
  let wire: WireHead;
  let rows: readonly WireResult[];
  try {
    const read = inColumns ? type.fromBuffer(raw) : rowReader.fromBuffer(raw, rowResolvers.get(version));
    wire = read as WireHead;
    rows = inColumns ? fromColumns(read as Columns) : (read as { results: WireResult[] }).results;
  } catch (error) {
    throw new BatchError('decode', error instanceof Error ? error.message : String(error));
  }
  if (rows.length > maxBatchResults) throw new BatchError('too_large', `${rows.length} results`);
  const inflatedBytes = inColumns ? Math.max(raw.length, writtenOut(rows)) : raw.length;
  if (inflatedBytes > maxInflatedBytes)
    throw new BatchError('too_large', `${inflatedBytes} bytes with each text where it is named`);
  const results: Result[] = [];
  const refused: { why: string; wire: unknown }[] = [];
  for (const result of rows) {
    const why = unknownWord(result) ?? unreadable(result);
    if (why === null) results.push(resultFromWire(result, wire));
    else refused.push({ why, wire: result });
  }
  return {
    probeId: wire.probeId,
    regionId: wire.regionId,
    stream: wire.stream.toString('hex'),
    seq: wire.seq,
    leaseVersion: wire.leaseVersion,
    sealedAt: wire.sealedAt,
    results,
    gaps: wire.gaps.map((gap) => ({ ...gap })),
    refused,
    inflatedBytes,
  };
}

/** The closed words of a result that are plain strings on the wire. */
function unknownWord({ failureCode, firstFailure, outcome, kind }: WireResult): string | null {
  if (failureCode !== null && !isFailureCode(failureCode))
    return `failure code ${failureCode.slice(0, 40)} is not known here`;
  if (firstFailure !== null && !isFailureCode(firstFailure)) return 'firstFailure is not a failure code';
  if (!outcomes.includes(outcome) || !resultKinds.includes(kind)) return 'outcome or kind is not known here';
  return null;
}

function unreadable({ facts, evidence }: WireResult): string | null {
  if (facts !== null && readFacts(facts) === null) return 'facts are none that can be read';
  if (evidence !== null && !isEvidence(evidence)) return 'evidence is none that can be read';
  return null;
}

/** Numbers and the like of a result; its texts come on top. */
const bareBytes = 100;

/** Names a text once and it is short, five hundred times and it is not: what such results would take as rows, about. */
function writtenOut(rows: readonly WireResult[]): number {
  let bytes = 0;
  for (const row of rows) {
    const { tls } = row;
    bytes += bareBytes + row.kind.length + row.outcome.length + lengthOf(row.remoteIp);
    bytes += lengthOf(row.failureCode) + lengthOf(row.failureMessage) + lengthOf(row.firstFailure);
    bytes += lengthOf(row.httpVersion) + lengthOf(row.facts) + lengthOf(row.evidence);
    if (tls) bytes += tls.version.length + tls.cipher.length + tls.issuer.length + tls.fingerprint.length;
  }
  return bytes;
}

const lengthOf = (text: string | null) => (text === null ? 0 : text.length);

type WireHead = Omit<Batch, 'stream' | 'results'> & { readonly stream: Buffer; readonly base: number };

function resultFromWire(wire: WireResult, batch: WireHead): Result {
  const { failureMessage, scheduled, timings, tls } = wire;
  const { dns, connect, wait, transfer, total } = timings;
  const failureCode = wire.failureCode as FailureCode | null;
  const scheduledAt = batch.base + scheduled;
  return {
    endpointId: wire.endpointId,
    rev: wire.rev,
    regionId: batch.regionId,
    probeId: batch.probeId,
    kind: wire.kind,
    scheduledAt,
    startedAt: scheduledAt + wire.lateBy,
    attempts: wire.attempts,
    outcome: wire.outcome,
    failure:
      failureCode === null
        ? null
        : { code: failureCode, source: failureTable[failureCode].source, message: failureMessage ?? '' },
    firstFailure: wire.firstFailure,
    suspect: wire.suspect,
    status: wire.status,
    httpVersion: wire.httpVersion,
    remoteIp: wire.remoteIp,
    redirects: wire.redirects,
    timings: { dns, connect, tls: timings.tls, wait, transfer, total },
    bytes: wire.bytes,
    truncated: wire.truncated,
    tls: tls && copyOf(tls),
    facts: wire.facts === null ? null : readFacts(wire.facts),
    evidence: wire.evidence,
    lateBy: wire.lateBy,
  };
}

function copyOf({ version, cipher, notAfter, issuer, fingerprint }: TlsFacts): TlsFacts {
  return { version, cipher, notAfter, issuer, fingerprint };
}
