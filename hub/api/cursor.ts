import type * as z from 'zod';
import { Problem } from '../problem.ts';

/** Where a list goes on, as clients carry it: opaque to them, and checked like anything else a stranger sends. */
export function writeCursor(place: readonly (number | string)[]): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

/** Throws Problem 400 where it is none of ours. */
export function readCursor<Place>(text: string, schema: z.ZodType<Place>): Place {
  try {
    const place = schema.safeParse(JSON.parse(Buffer.from(text, 'base64url').toString()));
    if (place.success) return place.data;
  } catch {
    // Not even JSON.
  }
  throw new Problem(400, 'request.cursor', 'the cursor is not one that this list gave');
}
