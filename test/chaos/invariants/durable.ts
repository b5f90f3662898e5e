import { type Evidence, type Finding, type Violation, violated } from './invariant.ts';

/**
 * 6. `durable` never passes what is committed. The links to the hubs read each lease on its way and ask PostgreSQL at
 * once; and what was ever told as durable must be stored, refused or in a gap by now, batch by batch. After the database
 * was put back to an earlier state, what was told before may be ahead of it: that is what a restore means, and the first
 * comparison is left out once.
 */
export async function durableIsCommitted(evidence: Evidence): Promise<Finding> {
  const { network, acknowledged, told, databaseWentBack } = evidence;
  const violations: Violation[] = [];
  const early = network.leases.takeTooDurable();
  if (early.length > 0 && !databaseWentBack) {
    violations.push(
      violated(
        '6 durable',
        `${early.length} leases told more than was committed`,
        early.map(
          ({ stream, told, committed, atMs }) =>
            `stream ${stream}: told ${told}, committed ${committed}, at ${new Date(atMs).toISOString()}`,
        ),
      ),
    );
  }
  const { accounted } = await accountedFor(evidence);
  const holes: string[] = [];
  for (const { key, stream, seq } of acknowledged.values()) {
    if (seq === null || seq > (told.get(stream) ?? 0) || accounted(key, stream, seq)) continue;
    holes.push(`${key} of stream ${stream}, seq ${seq}: durable to ${told.get(stream)} was told`);
  }
  if (holes.length > 0 && !databaseWentBack) {
    violations.push(violated('6 durable', `${holes.length} results are durable and nowhere`, holes));
  }
  return { violations, counts: { streams: told.size } };
}

async function accountedFor({ network, stored }: Evidence) {
  const rows = await network.db().many<{ stream: string; from_seq: number; to_seq: number }>(
    `select stream, from_seq, to_seq from gaps
     union all select stream, seq, seq from rejects where stream is not null and seq is not null`,
  );
  const spans = new Map<string, { from_seq: number; to_seq: number }[]>();
  for (const row of rows) spans.set(row.stream, [...(spans.get(row.stream) ?? []), row]);
  return {
    accounted: (key: string, stream: string, seq: number) =>
      stored.has(key) ||
      (spans.get(stream) ?? []).some(({ from_seq, to_seq }) => seq >= from_seq && seq <= to_seq),
  };
}
