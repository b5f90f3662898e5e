import type { Acknowledged } from '../spools.ts';
import { type Evidence, type Finding, type Violation, violated } from './invariant.ts';

interface GapRow {
  readonly stream: string;
  readonly probe_id: number;
  readonly from_seq: number;
  readonly to_seq: number;
  readonly from_us: number;
  readonly to_us: number;
  readonly results: number;
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
  const { network, acknowledged, stored, signed, destroyed, mayReject, untilMs } = evidence;
  const db = network.db();
  const gaps = await db.many<GapRow>(
    `select stream, probe_id, from_seq, to_seq, results, (extract(epoch from from_scheduled_at) * 1000000)::int8 as from_us,
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
  const inGap = ({ key, stream, seq, scheduledAt }: Acknowledged) =>
    gaps.some((gap) => {
      const overTime = scheduledAt >= gap.from_us && scheduledAt <= gap.to_us;
      if (gap.stream === stream) return seq === null ? overTime : seq >= gap.from_seq && seq <= gap.to_seq;
      // A damaged spool says what it lost in the stream that follows it.
      return overTime && destroyed.has(key) && gap.probe_id === Number(key.split('|')[3]);
    });

  let silent = 0;
  const lost: Acknowledged[] = [];
  for (const one of acknowledged.values()) {
    if (stored.has(one.key) || one.scheduledAt / 1000 > untilMs) continue;
    if (refusedSeqs.has(`${one.stream}|${one.seq}`) || refusedResults.has(one.key) || inGap(one)) continue;
    if (destroyed.has(one.key)) silent += 1;
    else lost.push(one);
  }

  const violations: Violation[] = [];
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
  // The counts are whole; of the rows, those of an hour and a reason are capped.
  const counted = await db.many<{ reason: string; count: number }>(
    `select reason, sum(count)::int8 as count from reject_counts where probe_id <> 0 and probe_id <> $1::int8
     group by reason order by reason`,
    [network.liar.probeId],
  );
  // A false signature says nothing of the probe whose name stands beside it: region.ts counts what the liar sent.
  const refused = counted.filter(({ reason }) => reason !== 'bad_signature' && !mayReject.has(reason));
  if (refused.length > 0) {
    const reasons = new Set(refused.map(({ reason }) => reason));
    violations.push(
      violated('1 exactly once', `honest probes were refused: ${words(refused)}`, [
        ...rejects
          .filter(({ reason, probe_id }) => probe_id !== null && reasons.has(reason))
          .map(({ reason, stream, seq, detail }) => `${reason}: ${detail} (stream ${stream}, seq ${seq})`),
      ]),
    );
  }
  const counts = {
    lost: lost.length,
    doubled: refused.find(({ reason }) => reason === 'duplicate_slot')?.count ?? 0,
    'in gaps': gaps.reduce((sum, { results }) => sum + results, 0),
    'honest refused': refused.reduce((sum, { count }) => sum + count, 0),
    destroyed: destroyed.size,
    // A torn end is what a write that nobody confirmed looks like: no probe can tell the one from the other.
    'destroyed without a word': silent,
  };
  return { violations, counts };
}

function words(refused: readonly { reason: string; count: number }[]): string {
  return refused.map(({ reason, count }) => `${count} ${reason}`).join(', ');
}

function keyInside(content: Buffer): string {
  try {
    const result = JSON.parse(content.toString('utf8')) as Record<string, unknown>;
    return `${result.endpointId}|${result.regionId}|${result.scheduledAt}|${result.probeId}`;
  } catch {
    return '';
  }
}
