import { Problem } from '../problem.ts';

/** The body's bytes; throws Problem 413 before more than `most` of them are in memory, whatever length was named. */
export async function readBody(
  request: Request,
  most: number,
  code = 'request.too_large',
): Promise<Uint8Array> {
  const tooLarge = () => new Problem(413, code, `a body here has at most ${most} bytes`);
  if (Number(request.headers.get('content-length') ?? 0) > most) throw tooLarge();
  // Copied together as they come: kept, a chunk of one byte would take a hundred.
  let bytes = new Uint8Array(0);
  let size = 0;
  for await (const chunk of request.body ?? []) {
    if (size + chunk.length > most) throw tooLarge();
    if (size + chunk.length > bytes.length) {
      const grown = new Uint8Array(
        Math.min(most, Math.max(size + chunk.length, 2 * bytes.length, leastBytes)),
      );
      grown.set(bytes.subarray(0, size));
      bytes = grown;
    }
    bytes.set(chunk, size);
    size += chunk.length;
  }
  return bytes.subarray(0, size);
}

const leastBytes = 4096;
