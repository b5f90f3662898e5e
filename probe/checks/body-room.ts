/** Memory for the bodies that somebody will read, of all checks of a thread together. */
export interface BodyRoom {
  /** One check's part of it. */
  share(): BodyShare;
  /** Bytes taken now. */
  taken(): number;
}

export interface BodyShare {
  /** False where there is no room left for so many more bytes. */
  take(bytes: number): boolean;
  /** Gives back what was taken. */
  close(): void;
}

/** A thousand slow answers of a megabyte each would be a gigabyte; honest ones together take a few of these 64 MiB. */
const roomBytes = 67_108_864;

export function createBodyRoom(mostBytes = roomBytes): BodyRoom {
  let taken = 0;
  return {
    share() {
      let own = 0;
      return {
        take(bytes) {
          if (taken + bytes > mostBytes) return false;
          taken += bytes;
          own += bytes;
          return true;
        },
        close() {
          taken -= own;
          own = 0;
        },
      };
    },
    taken: () => taken,
  };
}

export interface GatheredBody {
  add(chunk: Buffer): void;
  whole(): Buffer;
}

/**
 * One buffer that grows. A server may send a megabyte in chunks of one byte: kept one by one they take 130 MB of heap
 * (measured). The first chunk is most often the only one, and stays where it is.
 */
export function gatherBody(): GatheredBody {
  let bytes: Buffer = Buffer.alloc(0);
  let used = 0;
  return {
    add(chunk) {
      const next = used + chunk.length;
      if (used === 0) bytes = chunk;
      else if (next > bytes.length) {
        const larger = Buffer.allocUnsafe(Math.max(next, 2 * used));
        bytes.copy(larger, 0, 0, used);
        bytes = larger;
      }
      if (used > 0) chunk.copy(bytes, used);
      used = next;
    },
    whole: () => bytes.subarray(0, used),
  };
}
