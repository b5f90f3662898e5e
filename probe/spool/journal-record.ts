import * as z from 'zod';
import type { Gap } from '../../shared/batch.ts';
import type { Result } from '../../shared/result.ts';
import type { SpoolRecord } from './record.ts';

/** What waits to be sealed, in the order it came: `n` counts from 1 over the stream's whole life. */
export type JournalEntry =
  | { readonly n: number; readonly result: Result }
  | { readonly n: number; readonly gap: Gap };

const resultType = 1;
const gapType = 2;

export const gapSchema = z.object({
  fromSeq: z.int().positive(),
  toSeq: z.int().positive(),
  results: z.int().min(0),
  fromScheduledAt: z.int().min(0),
  toScheduledAt: z.int().min(0),
  reason: z.string(),
});

/** Only as far as it takes to sort it: the checksum says that these are the bytes of a result that was added here. */
const numbered = z.object({ n: z.int().positive() });
const resultEntry = numbered.extend({
  result: z
    .looseObject({ endpointId: z.int(), scheduledAt: z.int() })
    .transform((result) => result as unknown as Result),
});
const gapEntry = numbered.extend({ gap: gapSchema });

export function journalRecord(entry: JournalEntry): SpoolRecord {
  const { payload, type } =
    'result' in entry
      ? { type: resultType, payload: { n: entry.n, result: entry.result } }
      : { type: gapType, payload: { n: entry.n, gap: entry.gap } };
  return { type, payload: Buffer.from(JSON.stringify(payload)) };
}

/** Null for what this version does not know. */
export function journalEntry({ type, payload }: SpoolRecord): JournalEntry | null {
  const schema = type === resultType ? resultEntry : type === gapType ? gapEntry : null;
  try {
    return schema?.parse(JSON.parse(payload.toString('utf8'))) ?? null;
  } catch {
    return null;
  }
}
