import type { Reject } from '../ingest/reject.ts';
import type { RejectRoom } from '../ingest/reject-room.ts';
import { int4Array, int8Array, textArray } from './binary-array.ts';
import type { Sql } from './database.ts';

/** Of an hour, reason and probe so many are kept whole; the rest is counted. */
export const maxWholeRejects = 100;
/** With what they held: the first few as far as anybody will read, the others so far that one sees what they are. */
const maxContentBytes = { first: 64 * 1024, later: 1024 } as const;
const firstRejects = 10;

/** Counts them all and keeps the first of each kind. The last locks a transaction takes. */
export async function insertRejects(
  sql: Sql,
  rejects: readonly Reject[],
  room: RejectRoom = unlimited,
): Promise<void> {
  if (rejects.length === 0) return;
  const groups = new Map<string, Reject[]>();
  for (const reject of rejects) {
    const key = `${reject.reason}|${String(reject.probeId ?? 0).padStart(16, '0')}`;
    const group = groups.get(key);
    if (group) group.push(reject);
    else groups.set(key, [reject]);
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
  const counted = await sql.many<{ reason: string; probe_id: number; count: number }>(
    `insert into reject_counts as c (hour, reason, probe_id, count)
     select date_trunc('hour', now()), * from unnest($1::text[], $2::int8[], $3::int8[])
     on conflict (hour, reason, probe_id) do update set count = c.count + excluded.count
     returning reason, probe_id, count`,
    [
      textArray(sorted.map(([first]) => first?.reason ?? '')),
      int8Array(sorted.map(([first]) => first?.probeId ?? 0)),
      int8Array(sorted.map((group) => group.length)),
    ],
  );
  const totals = new Map(counted.map((row) => [`${row.reason}|${row.probe_id}`, row.count]));
  const whole = sorted.flatMap((group) => {
    const total = totals.get(`${group[0]?.reason}|${group[0]?.probeId ?? 0}`) ?? 0;
    const before = total - group.length;
    return group
      .slice(0, Math.max(0, maxWholeRejects - before))
      .map((reject, index) => ({ reject, isFirst: before + index < firstRejects }));
  });
  const kept = whole.slice(0, whole.length > 0 ? room.rows(whole.length) : 0);
  for (let at = 0; at < kept.length; at += statementRows) {
    await insertWhole(
      sql,
      kept.slice(at, at + statementRows).map(({ reject, isFirst }) => {
        const content = reject.content().subarray(0, maxContentBytes[isFirst ? 'first' : 'later']);
        return { reject, content: content.subarray(0, room.bytes(content.length)) };
      }),
    );
  }
}

const unlimited: RejectRoom = { rows: (wanted) => wanted, bytes: (wanted) => wanted };

interface WholeReject {
  readonly reject: Reject;
  readonly content: Uint8Array;
}

/** 64 KiB of content each: so a statement stays below 4 MiB. */
const statementRows = 50;

async function insertWhole(sql: Sql, whole: readonly WholeReject[]): Promise<void> {
  const rejects = whole.map(({ reject }) => reject);
  await sql.run(
    `insert into rejects (
       reason, detail, kid, probe_id, stream, seq, topic, kafka_partition, kafka_offset, content)
     select reason, detail, kid, probe_id, stream, seq, topic, kafka_partition, kafka_offset,
       decode(content, 'base64')
     from unnest(
       $1::text[], $2::text[], $3::text[], $4::int8[], $5::text[], $6::int8[], $7::text[], $8::int4[], $9::int8[],
       $10::text[])
       as t (reason, detail, kid, probe_id, stream, seq, topic, kafka_partition, kafka_offset, content)`,
    [
      textArray(rejects.map((reject) => reject.reason)),
      textArray(rejects.map((reject) => printable(reject.detail.slice(0, 500)))),
      textArray(rejects.map((reject) => reject.kid && printable(reject.kid))),
      int8Array(rejects.map((reject) => reject.probeId)),
      textArray(rejects.map((reject) => reject.stream)),
      int8Array(rejects.map((reject) => reject.seq)),
      textArray(rejects.map((reject) => reject.position?.topic ?? null)),
      int4Array(rejects.map((reject) => reject.position?.partition ?? null)),
      int8Array(rejects.map((reject) => reject.position?.offset ?? null)),
      textArray(whole.map(({ content }) => base64(content))),
    ],
  );
}

/** Both may be a stranger's: PostgreSQL's text holds no NUL. */
function printable(text: string): string {
  return text.replaceAll('\0', '\uFFFD').toWellFormed();
}

function base64(content: Uint8Array): string {
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('base64');
}
