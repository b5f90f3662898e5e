/** How far this machine's clock is ahead of hub time, for every thread of the process. */
export interface SharedOffset {
  /** What a thread is given: a worker's data is copied, this is not. */
  readonly buffer: SharedArrayBuffer;
  set(offsetUs: number): void;
}

export function createSharedOffset(): SharedOffset {
  const buffer = new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
  const cell = new BigInt64Array(buffer);
  return { buffer, set: (offsetUs) => void Atomics.store(cell, 0, BigInt(Math.round(offsetUs))) };
}

/** Hub time by the offset that another thread keeps, epoch milliseconds. */
export function hubTimeMs(buffer: SharedArrayBuffer, wallMs: () => number = Date.now): () => number {
  const cell = new BigInt64Array(buffer);
  return () => wallMs() - Number(Atomics.load(cell, 0)) / 1000;
}
