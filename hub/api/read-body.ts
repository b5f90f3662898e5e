import { Problem } from '../problem.ts';

/** The body's bytes; throws Problem 413 before more than `most` of them are in memory, whatever length was named. */
export async function readBody(
  request: Request,
  most: number,
  code = 'request.too_large',
): Promise<Uint8Array> {
  const tooLarge = () => new Problem(413, code, `a body here has at most ${most} bytes`);
  if (Number(request.headers.get('content-length') ?? 0) > most) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > most) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
}
