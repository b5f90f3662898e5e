import * as z from 'zod';

/** When the shards were last looked after, over restarts and replicas; epoch microseconds. */
const shardsNoteSchema = z.object({ tendedUs: z.int(), heldUntilUs: z.int() });
export type ShardsNote = z.output<typeof shardsNoteSchema>;

/** Nobody looked for so long: the hub was away, and its probes had nobody to ask. */
const awayUs = 10_000_000;
/** No probe at all was seen for so long: it is the hub that cannot be reached. */
const deafUs = 15_000_000;
/** Long enough for every probe that is there to have asked again. */
export const holdUs = 30_000_000;

/** The note of this look; nothing moves before its `heldUntilUs`. `newestSeenUs`: the last request of any probe, null where there are none. */
export function holdShards(
  before: ShardsNote | null,
  nowUs: number,
  newestSeenUs: number | null,
): ShardsNote {
  const away = before !== null && nowUs - before.tendedUs > awayUs;
  const deaf = newestSeenUs !== null && nowUs - newestSeenUs > deafUs;
  const heldUntilUs = away || deaf ? nowUs + holdUs : (before?.heldUntilUs ?? 0);
  // A clock that was ahead must not hold for longer than we would now.
  return { tendedUs: nowUs, heldUntilUs: Math.min(heldUntilUs, nowUs + holdUs) };
}

/** What is not a note of ours, or was written by hand, is none. */
export function readShardsNote(value: unknown): ShardsNote | null {
  return shardsNoteSchema.safeParse(value).data ?? null;
}
