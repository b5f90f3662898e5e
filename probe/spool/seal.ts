import { type Batch, encodeBatch } from '../../shared/batch.ts';

export type Encoded =
  /** `taken`: how many of the results went in, from the front. */
  | { readonly value: Uint8Array; readonly taken: number }
  /** The first result fits in no batch, which is a bug of a check: it must not keep the others. */
  | { readonly value: null; readonly why: string };

/** As many of the results as one batch holds. Halves find a bad one as they find the size. */
export function encodeFitting(batch: Batch, schema: number): Encoded {
  const { results } = batch;
  try {
    return { value: encodeBatch(batch, schema), taken: results.length };
  } catch (error) {
    if (results.length === 0) throw error;
    if (results.length === 1)
      return { value: null, why: error instanceof Error ? error.message : String(error) };
    return encodeFitting({ ...batch, results: results.slice(0, Math.ceil(results.length / 2)) }, schema);
  }
}
