import { setTimeout as wait } from 'node:timers/promises';
import type { Acknowledged } from '../spools.ts';
import { storedKeys } from '../stored-keys.ts';
import { type Evidence, type Finding, type Refusal, type Violation, violated } from './invariant.ts';

interface GapRow {
  readonly stream: string;
  readonly probe_id: number;
  readonly from_seq: number;
  readonly to_seq: number;
  readonly from_us: number;
  readonly to_us: number;
  readonly results: number;
  readonly reason: string;
}

interface RejectRow {
  readonly reason: string;
  readonly stream: string | null;
  readonly seq: number | null;
  readonly content: Buffer | null;
  readonly detail: string;
  readonly probe_id: number | null;
}

/** Reasons that refuse a batch whole. The others refuse one result, whose JSON is the content. */
const whole = new Set([
  'schema_unknown',
  'too_large',
  'inflate',
  'decode',
  'probe_revoked',
  'probe_pending',
  'probe_mismatch',
  'region_mismatch',
  'seq_range',
  'gap_invalid',
  'stream_foreign',
  'streams_exhausted',
  'poison',
  'seq_reused',
]);

/**
 * 1. Every check a probe acknowledged to its spool is in PostgreSQL exactly once, or in a signed gap record, or in the
 * rejected table. Compares the spools' own files with the tables. Cannot see what a probe lost before its file system
 * had it: that was never acknowledged. A primary key makes a row twice impossible, so "twice" shows as an honest result
 * that is stored and refused as a duplicate besides.
 */
export async function exactlyOnce(evidence: Evidence): Promise<Finding> {
  const { network, acknowledged, stored, signed, destroyed, toBeTold, mayReject, refused, untilMs } =
    evidence;
  const db = network.db();
  const gaps = await db.many<GapRow>(
    `select stream, probe_id, from_seq, to_seq, results, reason, (extract(epoch from from_scheduled_at) * 1000000)::int8 as from_us,
            (extract(epoch from to_scheduled_at) * 1000000)::int8 as to_us from gaps`,
  );
  const rejects = await db.many<RejectRow>(
    'select reason, stream, seq, content, detail, probe_id from rejects where probe_id is null or probe_id <> $1::int8',
    [network.liar.probeId],
  );
  const refusedSeqs = new Set<string>();
  const refusedResults = new Set<string>();
  for (const { reason, stream, seq, content } of rejects) {
    if (whole.has(reason)) refusedSeqs.add(`${stream}|${seq}`);
    else if (content) refusedResults.add(keyInside(content));
  }
  const onlyThere = await destroyedAlone(evidence);
  const inGap = ({ key, stream, seq, scheduledAt }: Acknowledged) =>
    gaps.some((gap) => {
      const overTime = scheduledAt >= gap.from_us && scheduledAt <= gap.to_us;
      if (gap.stream === stream) return seq === null ? overTime : seq >= gap.from_seq && seq <= gap.to_seq;
      // A damaged spool says what it lost in the stream that follows it.
      return overTime && destroyed.has(key) && gap.probe_id === Number(key.split('|')[3]);
    });

  let silent = 0;
  const untold: Acknowledged[] = [];
  const lost: Acknowledged[] = [];
  for (const one of acknowledged.values()) {
    if (stored.has(one.key) || one.scheduledAt / 1000 > untilMs) continue;
    if (refusedSeqs.has(`${one.stream}|${one.seq}`) || refusedResults.has(one.key) || inGap(one)) continue;
    if (toBeTold.has(one.key)) untold.push(one);
    if (onlyThere(one)) silent += 1;
    else lost.push(one);
  }

  await forgetStored(evidence, lost);

  const violations: Violation[] = [];
  for (const [probeId, silenced] of Map.groupBy(untold, ({ key }) => Number(key.split('|')[3]))) {
    // What had no number yet is told as a count, over a time that the probe can only guess.
    const told = gaps.reduce(
      (sum, gap) => sum + (gap.probe_id === probeId && gap.reason === 'spool damaged' ? gap.results : 0),
      0,
    );
    if (told >= silenced.length) continue;
    violations.push(
      violated(
        '1 exactly once',
        `${silenced.length} results were destroyed, and no gap record tells of them`,
        [
          `probe ${probeId} told of ${told} results that its spool lost`,
          ...silenced.map(({ key, stream, seq }) => `${key} of stream ${stream}, seq ${seq ?? 'none yet'}`),
        ],
      ),
    );
  }
  if (lost.length > 0) {
    const streams = await db.many<{ stream: string; up_to: number; ranges: string }>(
      'select stream, up_to, ranges::text as ranges from streams where stream = any($1::text[]) limit 4',
      [[...new Set(lost.map(({ stream }) => stream))]],
    );
    violations.push(
      violated('1 exactly once', `${lost.length} acknowledged results are nowhere`, [
        ...streams.map(
          ({ stream, up_to, ranges }) => `stream ${stream} is stored up to seq ${up_to}, and ${ranges}`,
        ),
        ...lost.map(
          ({ key, stream, seq }) =>
            `${key} of stream ${stream}, seq ${seq ?? 'none yet'}; ${signed.has(key) ? '' : 'not '}in Kafka's log`,
        ),
      ]),
    );
  }
  const excused = ({ probe, reason }: Refusal) =>
    mayReject.some((may) => may.reason === reason && (may.probe === null || may.probe === probe));
  const unexcused = refused.fresh.filter((refusal) => !excused(refusal));
  if (unexcused.length > 0) {
    const reasons = new Set(unexcused.map(({ reason }) => reason));
    violations.push(
      violated('1 exactly once', `honest probes were refused: ${words(unexcused)}`, [
        ...rejects
          .filter(({ reason, probe_id }) => probe_id !== null && reasons.has(reason))
          .map(({ reason, stream, seq, detail }) => `${reason}: ${detail} (stream ${stream}, seq ${seq})`),
      ]),
    );
  }
  const doubled = sumOf(unexcused.filter(isDouble));
  const refusedNow = sumOf(unexcused);
  const counts = {
    lost: lost.length,
    doubled,
    // Of probes whose spool a fault had spoilt a moment before; stored once all the same.
    'duplicates excused': sumOf(refused.all.filter(isDouble)) - doubled,
    'in gaps': gaps.reduce((sum, { results }) => sum + results, 0),
    'honest refused': refusedNow,
    'refusals excused': sumOf(refused.all) - refusedNow,
    destroyed: destroyed.size,
    // A torn end is what a write that nobody confirmed looks like: no probe can tell the one from the other.
    'destroyed without a word': silent,
  };
  return { violations, counts };
}

/** Takes out of `lost` what was stored meanwhile; waits for that as long as anything is left. */
async function forgetStored({ network, patienceMs }: Evidence, lost: Acknowledged[]): Promise<void> {
  const untilMs = performance.now() + patienceMs;
  while (lost.length > 0) {
    const since = Math.min(...lost.map(({ scheduledAt }) => scheduledAt));
    const stored = await storedKeys(network, since);
    lost.splice(0, lost.length, ...lost.filter(({ key }) => !stored.has(key)));
    if (lost.length === 0 || performance.now() > untilMs) return;
    await wait(500);
  }
}

/**
 * Whether a fault destroyed it where it was and it was nowhere else: what had come to Kafka's log by then is stored by
 * that, unless the log lost it before the hub had read it, or its probe was revoked meanwhile.
 */
async function destroyedAlone({
  network,
  destroyed,
  signed,
}: Evidence): Promise<(one: Acknowledged) => boolean> {
  const { droppedUs, revoked } = await network.db().one<{ droppedUs: number; revoked: number[] }>(
    `select coalesce((select (extract(epoch from max(at)) * 1000000)::int8 from audit_log
                      where action = 'alarm.log_dropped'), 0) as "droppedUs",
            array(select id::int from probes where status = 'revoked') as revoked`,
  );
  return ({ key, scheduledAt }) =>
    destroyed.has(key) &&
    (!signed.has(key) || scheduledAt < droppedUs || revoked.includes(Number(key.split('|')[3])));
}

function isDouble({ reason }: Refusal): boolean {
  return reason === 'duplicate_slot';
}

function sumOf(refusals: readonly Refusal[]): number {
  return refusals.reduce((sum, { count }) => sum + count, 0);
}

function words(refusals: readonly Refusal[]): string {
  return refusals.map(({ probe, reason, count }) => `${count} ${reason} of ${probe}`).join(', ');
}

function keyInside(content: Buffer): string {
  try {
    const result = JSON.parse(content.toString('utf8')) as Record<string, unknown>;
    return `${result.endpointId}|${result.regionId}|${result.scheduledAt}|${result.probeId}`;
  } catch {
    return '';
  }
}
