import type { Logger } from 'pino';
import type { Database } from '../store/database.ts';
import { listOpenHoles, type OpenHole } from '../store/list-open-holes.ts';
import { noteAlarm } from '../store/note-alarm.ts';
import type { IngestMetrics } from './ingest-metrics.ts';

export interface HoleWatchOptions {
  readonly db: Database;
  readonly log: Pick<Logger, 'warn' | 'error'>;
  readonly metrics: Pick<IngestMetrics, 'holes'>;
  /** Monotonic milliseconds. */
  readonly nowMs?: () => number;
  /** A probe sends what was lost again after 30 s; a hole this old is one that it cannot fill by itself. */
  readonly openMs?: number;
  /** Null: only when told. */
  readonly everyMs?: number | null;
}

export interface HoleWatch {
  look(): Promise<void>;
  stop(): Promise<void>;
}

interface Seen {
  readonly fromSeq: number;
  readonly sinceMs: number;
  raised: boolean;
}

/**
 * Raises an alarm for each hole in a stream that does not close: what a probe acknowledged to its spool is missing, and
 * nothing after it can be durable. Once a hole, in the audit log and the hub's own; a hole that has closed is forgotten.
 */
export function startHoleWatch(options: HoleWatchOptions): HoleWatch {
  const { db, log, metrics, nowMs = () => performance.now(), openMs = 600_000, everyMs = 60_000 } = options;
  let seen: ReadonlyMap<string, Seen> = new Map();

  async function look(): Promise<void> {
    const holes = await listOpenHoles(db);
    const atMs = nowMs();
    const next = new Map<string, Seen>();
    let old = 0;
    for (const hole of holes) {
      const before = seen.get(hole.stream);
      const known =
        before?.fromSeq === hole.from_seq ? before : { fromSeq: hole.from_seq, sinceMs: atMs, raised: false };
      next.set(hole.stream, known);
      if (atMs - known.sinceMs < openMs) continue;
      old += 1;
      if (known.raised) continue;
      await raise(hole);
      known.raised = true;
    }
    seen = next;
    metrics.holes(old);
  }

  async function raise({ stream, probe_id, probe, from_seq, to_seq }: OpenHole): Promise<void> {
    const entry = {
      actor: 'hub:ingest',
      action: 'alarm.stream_hole',
      subject: `stream:${stream}`,
      after: { probeId: probe_id, probe, fromSeq: from_seq, toSeq: to_seq },
    };
    const isFirst = await db.transaction(async (sql) => {
      // Of all replicas, and before a restart of this one.
      const known = await sql.many(
        `select 1 from audit_log
         where action = $1::text and subject = $2::text and (after->>'fromSeq')::int8 = $3::int8 limit 1`,
        [entry.action, entry.subject, from_seq],
      );
      return known.length === 0 && (await noteAlarm(sql, entry));
    });
    if (!isFirst) return;
    const batches = from_seq === to_seq ? `batch ${from_seq}` : `batches ${from_seq} to ${to_seq}`;
    log.warn(
      { probe: probe_id, name: probe, stream, fromSeq: from_seq, toSeq: to_seq },
      `${batches} of a probe did not come, though later ones did: its results are missing here until it sends them`,
    );
  }

  let running: Promise<void> = Promise.resolve();
  const timer =
    everyMs === null
      ? undefined
      : setInterval(() => {
          running = look().catch((error: unknown) =>
            log.error({ err: error }, 'holes in streams could not be looked for'),
          );
        }, everyMs);
  return {
    look,
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}
