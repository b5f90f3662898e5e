import type * as z from 'zod';
import { Problem } from '../problem.ts';

/** A body as its schema has it. Throws Problem 400 with one entry a field. */
export function parseJson<Content>(schema: z.ZodType<Content>, body: Uint8Array): Content {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (error) {
    throw new Problem(400, 'request.invalid', 'the body is not JSON in UTF-8', { cause: error });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
  const [first] = errors;
  throw new Problem(400, 'request.invalid', first ? `${first.path}: ${first.message}` : 'not valid', {
    extra: { errors },
  });
}
