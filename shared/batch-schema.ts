/**
 * Avro schemas of the batch, by version: the number in the message's `schema` header. A version that was ever
 * released is never edited; a new one adds fields with defaults, or is a form of its own with a reader of its own.
 */
const nullable = (type: unknown) => ['null', type];

// Long, though int would do for half an hour: a timeout may be a day, and both are written the same.
const timings = {
  type: 'record',
  name: 'Timings',
  fields: ['dns', 'connect', 'tls', 'wait', 'transfer']
    .map((phase): object => ({ name: phase, type: nullable('long'), default: null }))
    .concat({ name: 'total', type: 'long' }),
};

const resultFields = [
  { name: 'endpointId', type: 'long' },
  { name: 'rev', type: 'int' },
  { name: 'kind', type: 'string' },
  /** Microseconds after the batch's `base`. */
  { name: 'scheduled', type: 'long' },
  { name: 'lateBy', type: 'long' },
  { name: 'attempts', type: 'int' },
  { name: 'outcome', type: 'string' },
  { name: 'failureCode', type: nullable('string'), default: null },
  { name: 'failureMessage', type: nullable('string'), default: null },
  { name: 'firstFailure', type: nullable('string'), default: null },
  { name: 'suspect', type: 'boolean' },
  { name: 'status', type: nullable('int'), default: null },
  { name: 'httpVersion', type: nullable('string'), default: null },
  { name: 'remoteIp', type: nullable('string'), default: null },
  { name: 'redirects', type: 'int' },
  { name: 'timings', type: timings },
  { name: 'bytes', type: 'long' },
  { name: 'truncated', type: 'boolean' },
  {
    name: 'tls',
    type: nullable({
      type: 'record',
      name: 'TlsFacts',
      fields: [
        { name: 'version', type: 'string' },
        { name: 'cipher', type: 'string' },
        { name: 'notAfter', type: 'long' },
        { name: 'issuer', type: 'string' },
        { name: 'fingerprint', type: 'string' },
      ],
    }),
    default: null,
  },
];

const gap = {
  type: 'record',
  name: 'Gap',
  fields: [
    { name: 'fromSeq', type: 'long' },
    { name: 'toSeq', type: 'long' },
    { name: 'results', type: 'long' },
    { name: 'fromScheduledAt', type: 'long' },
    { name: 'toScheduledAt', type: 'long' },
    { name: 'reason', type: 'string' },
  ],
};

const batchWith = (...results: readonly object[]) => ({
  type: 'record',
  name: 'Batch',
  namespace: 'parallax',
  fields: [
    { name: 'probeId', type: 'long' },
    { name: 'regionId', type: 'int' },
    { name: 'stream', type: { type: 'fixed', name: 'StreamId', size: 16 } },
    { name: 'seq', type: 'long' },
    { name: 'leaseVersion', type: 'long' },
    { name: 'sealedAt', type: 'long' },
    { name: 'base', type: 'long' },
    ...results,
    { name: 'gaps', type: { type: 'array', items: gap }, default: [] },
  ],
});

const batchOf = (fields: readonly object[]) =>
  batchWith({ name: 'results', type: { type: 'array', items: { type: 'record', name: 'Result', fields } } });

const v1 = batchOf(resultFields);
const v2 = batchOf([
  ...resultFields,
  /** JSON, see facts.ts and evidence.ts. */
  { name: 'facts', type: nullable('string'), default: null },
  { name: 'evidence', type: nullable('string'), default: null },
]);

/** See batch-columns.ts. */
const v3 = batchWith(
  { name: 'numbers', type: { type: 'array', items: 'long' } },
  { name: 'texts', type: { type: 'array', items: 'string' } },
  { name: 'certificates', type: { type: 'array', items: 'long' } },
  { name: 'fingerprints', type: 'bytes' },
  { name: 'ipv4', type: 'bytes' },
);

export const batchSchemas: Readonly<Record<number, object>> = { 1: v1, 2: v2, 3: v3 };
export const currentBatchSchema = 3;
/** From this one on results stand in columns; up to the one before, each is a record. */
export const firstColumnSchema = 3;
/** Read by every hub there is, also by one that does not say what it reads. */
export const oldestBatchSchema = 1;

/** The newest version that both sides know: what a hub reads stands in its leases. */
export function commonBatchSchema(read: readonly number[] | undefined): number {
  const known = (read ?? []).filter((version) => batchSchemas[version] !== undefined);
  return Math.max(oldestBatchSchema, ...known);
}
