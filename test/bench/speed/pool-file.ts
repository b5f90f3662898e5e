import { createReadStream } from 'node:fs';
import type { Result } from '../../../shared/result.ts';

/** A sealed batch as it waits on disk: what a producer must know of it, and nothing to compute. */
export interface PooledBatch {
  readonly probeId: number;
  /** How many results are in it. */
  readonly results: number;
  readonly signature: Buffer;
  readonly value: Buffer;
}

const headBytes = 12;
const signatureBytes = 64;

export function poolRecord(
  probeId: number,
  results: readonly Result[],
  signature: Uint8Array,
  value: Uint8Array,
): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(value.length, 0);
  head.writeUInt32LE(probeId, 4);
  head.writeUInt32LE(results.length, 8);
  return Buffer.concat([head, signature, value]);
}

/** In the order in which they were written, a few megabytes at a time. */
export async function* readPool(file: string): AsyncGenerator<PooledBatch> {
  let left: Buffer = Buffer.alloc(0);
  for await (const piece of createReadStream(file, { highWaterMark: 4 * 1024 * 1024 })) {
    const data = left.length > 0 ? Buffer.concat([left, piece as Buffer]) : (piece as Buffer);
    let at = 0;
    while (data.length - at >= headBytes) {
      const length = data.readUInt32LE(at);
      const end = at + headBytes + signatureBytes + length;
      if (end > data.length) break;
      const signatureAt = at + headBytes;
      yield {
        probeId: data.readUInt32LE(at + 4),
        results: data.readUInt32LE(at + 8),
        signature: data.subarray(signatureAt, signatureAt + signatureBytes),
        value: data.subarray(signatureAt + signatureBytes, end),
      };
      at = end;
    }
    left = data.subarray(at);
  }
}
