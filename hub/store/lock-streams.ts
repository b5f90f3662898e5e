import { rangesFromText, type StreamState } from '../ingest/streams.ts';
import { int8Array, textArray } from './binary-array.ts';
import type { Sql } from './database.ts';

/** Most streams one probe may have: each is a row for ever, and a spool needs one. */
export const maxStreamsPerProbe = 256;

export interface LockedStream {
  readonly stream: string;
  /** The probe that first used it. */
  readonly probeId: number;
  readonly state: StreamState;
}

/**
 * Makes what is missing, then locks all, both in stream order: whoever waits for a row holds only rows before it.
 * A stream that is not in the answer was one too many for its probe.
 */
export async function lockStreams(
  sql: Sql,
  wanted: ReadonlyMap<string, number>,
): Promise<Map<string, LockedStream>> {
  if (wanted.size === 0) return new Map();
  const streams = [...wanted.keys()].sort();
  const ids = textArray(streams);
  await sql.run(
    `with missing as (
       select w.stream, w.probe_id, row_number() over (partition by w.probe_id order by w.stream) as place
       from unnest($1::text[], $2::int8[]) as w (stream, probe_id)
       where not exists (select from streams s where s.stream = w.stream)
     ), held as (
       select s.probe_id, count(*) as streams from streams s
       where s.probe_id in (select probe_id from missing) group by s.probe_id
     )
     insert into streams (stream, probe_id)
     select m.stream, m.probe_id from missing m left join held h using (probe_id)
     where m.place + coalesce(h.streams, 0) <= $3::int8
     order by m.stream
     on conflict do nothing`,
    [ids, int8Array(streams.map((stream) => wanted.get(stream) ?? 0)), maxStreamsPerProbe],
  );
  const rows = await sql.many<{ stream: string; probe_id: number; up_to: number; ranges: string }>(
    `select stream, probe_id, up_to, ranges::text as ranges
     from streams where stream = any($1::text[]) order by stream for update`,
    [ids],
  );
  return new Map(
    rows.map((row) => [
      row.stream,
      {
        stream: row.stream,
        probeId: row.probe_id,
        state: { upTo: row.up_to, ranges: rangesFromText(row.ranges) },
      },
    ]),
  );
}
