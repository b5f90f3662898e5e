/**
 * How much of what is decoded may wait for its transaction. A few hundred bytes on the wire may hold two megabytes, and
 * thousands of such are handed over at once: without this one signer could take all memory there is.
 */
export interface DecodedRoom {
  /** Resolves when there is room for another, whose size nobody knows before it is decoded. */
  free(signal: AbortSignal): Promise<void>;
  take(bytes: number): void;
  leave(bytes: number): void;
}

export function createDecodedRoom(maxBytes: number): DecodedRoom {
  let taken = 0;
  let waiting: (() => void)[] = [];

  return {
    async free(signal) {
      while (taken >= maxBytes) {
        signal.throwIfAborted();
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.push(resolve);
        signal.addEventListener('abort', resolve as () => void, { once: true });
        await promise;
        signal.removeEventListener('abort', resolve as () => void);
      }
    },
    take(bytes) {
      taken += bytes;
    },
    leave(bytes) {
      taken -= bytes;
      if (taken >= maxBytes || waiting.length === 0) return;
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    },
  };
}
