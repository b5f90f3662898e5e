import type * as z from 'zod';

/** What is wrong with a document, and where. */
export interface Conflict {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What one protocol's endpoints look like. `request` and `expect` must have a default for every field. */
export interface ProtocolRules<Request extends z.ZodType = z.ZodType, Expect extends z.ZodType = z.ZodType> {
  /** URL schemes, without the colon. */
  readonly schemes: readonly string[];
  /** What its endpoints may ask for with `evidence`. */
  readonly evidence?: readonly ('body' | 'trace')[];
  readonly request: Request;
  readonly expect: Expect;
  /** What is wrong with the URL, beside a user name or password in it, or null. */
  url(url: URL): string | null;
  /** What is good field by field and cannot be together. */
  conflicts?(endpoint: {
    readonly url: string;
    readonly request: z.output<Request>;
    readonly expect: z.output<Expect>;
  }): Iterable<Conflict>;
}
