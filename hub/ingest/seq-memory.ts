/**
 * What was signed under the last numbers of each stream, by the start of its signature: another content has another
 * one. Bounded, so it forgets: 32 numbers a stream, 20,000 streams, this process. Within that, whoever signs two
 * contents under one number is found out, be it a liar or a spool that came back from an old copy; beyond it a second
 * content is taken for a repetition and skipped, as it always was. Either way only the first is stored.
 */
export interface SeqMemory {
  /** What was received. */
  note(claim: Claim, sig: Uint8Array): void;
  /** Whether another signature is remembered under this number. */
  differs(claim: Claim, sig: Uint8Array): boolean;
  /** Whether something of this stream was received from this probe lately. */
  knows(stream: string, probeId: number): boolean;
}

export interface Claim {
  readonly stream: string;
  readonly probeId: number;
  readonly seq: number;
}

export interface SeqMemoryOptions {
  readonly maxStreams?: number;
}

interface Ring {
  readonly probeId: number;
  /** Pairs of a number and six bytes of the signature under it. */
  readonly slots: Float64Array;
}

const numbersKept = 32;

export function createSeqMemory({ maxStreams = 20_000 }: SeqMemoryOptions = {}): SeqMemory {
  const rings = new Map<string, Ring>();

  function ringOf(stream: string, probeId: number): Ring {
    const known = rings.get(stream);
    if (known) {
      rings.delete(stream);
      rings.set(stream, known);
      return known;
    }
    const ring = { probeId, slots: new Float64Array(numbersKept * 2) };
    rings.set(stream, ring);
    for (const oldest of rings.keys()) {
      if (rings.size <= maxStreams) break;
      rings.delete(oldest);
    }
    return ring;
  }

  return {
    note({ stream, probeId, seq }, sig) {
      const { probeId: owner, slots } = ringOf(stream, probeId);
      const at = (seq % numbersKept) * 2;
      // An old one that comes late pushes out no newer; the same one again is stored anew, after a restored backup.
      if (owner !== probeId || seq < (slots[at] ?? 0)) return;
      slots[at] = seq;
      slots[at + 1] = markOf(sig);
    },
    differs({ stream, probeId, seq }, sig) {
      const ring = rings.get(stream);
      const at = (seq % numbersKept) * 2;
      return ring?.probeId === probeId && ring.slots[at] === seq && ring.slots[at + 1] !== markOf(sig);
    },
    knows: (stream, probeId) => rings.get(stream)?.probeId === probeId,
  };
}

function markOf(sig: Uint8Array): number {
  return Buffer.from(sig.buffer, sig.byteOffset, sig.byteLength).readUIntBE(0, 6);
}
