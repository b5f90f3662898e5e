import { rangesToText } from '../ingest/streams.ts';
import { int8Array, textArray } from './binary-array.ts';
import type { Sql } from './database.ts';
import type { LockedStream } from './lock-streams.ts';

/** Streams that this transaction has locked. */
export async function updateStreams(sql: Sql, streams: readonly LockedStream[]): Promise<number> {
  if (streams.length === 0) return 0;
  return sql.run(
    `update streams s set up_to = w.up_to, ranges = w.ranges::int8multirange, last_at = now()
     from unnest($1::text[], $2::int8[], $3::text[]) as w (stream, up_to, ranges)
     where s.stream = w.stream`,
    [
      textArray(streams.map((stream) => stream.stream)),
      int8Array(streams.map((stream) => stream.state.upTo)),
      textArray(streams.map((stream) => rangesToText(stream.state.ranges))),
    ],
  );
}
