import type { FailureCode, Outcome } from '../../shared/failure.ts';
import type { Result } from '../../shared/result.ts';
import type { EvidenceWish } from '../checks/check.ts';

/** Decides which failures are told with evidence: the first after an endpoint was not down, and those of another code. */
export interface EvidenceWatch {
  /** What to ask of a check that begins; null for nothing. */
  wish(endpointId: number): EvidenceWish | null;
  /** The evidence that travels with this result, or null. */
  take(seen: SeenOutcome): string | null;
  /** The result as it goes: without evidence where it was found to be no failure of the target's, of which the next one tells. */
  settled(result: Result): Result;
  /** Failures that went without, as too many came at once. */
  dropped(): number;
}

export interface SeenOutcome {
  readonly endpointId: number;
  readonly outcome: Outcome;
  readonly code: FailureCode | null;
  /** It never votes: what it saw is not the endpoint's. */
  readonly suspect: boolean;
  readonly evidence: string | null;
}

/** A target that fails in another way each time has told enough. */
const mostOfOneFall = 4;
/** As many endpoints as anybody gives one probe: past it they are forgotten, which costs evidence once more. */
const mostFallen = 100_000;

interface Fall extends EvidenceWish {
  readonly told: number;
}

const anyFailure: EvidenceWish = { unless: null };

/** Of a minute; some 700 endpoints that fail at once. All that wait in memory and spool is bounded by it. */
export const evidenceBytesAMinute = 1024 * 1024;

export function createEvidenceWatch(
  bytesAMinute = evidenceBytesAMinute,
  nowMs: () => number = () => performance.now(),
): EvidenceWatch {
  const fallen = new Map<number, Fall>();
  let room = bytesAMinute;
  let atMs = nowMs();
  let dropped = 0;

  function refill(): void {
    const now = nowMs();
    room = Math.min(bytesAMinute, room + (Math.max(0, now - atMs) / 60_000) * bytesAMinute);
    atMs = now;
  }

  return {
    wish(endpointId) {
      const fall = fallen.get(endpointId);
      if (!fall) return anyFailure;
      return fall.told < mostOfOneFall ? fall : null;
    },
    take({ endpointId, outcome, code, suspect, evidence }) {
      if (suspect || outcome === 'skipped') return null;
      if (outcome !== 'down') {
        fallen.delete(endpointId);
        return null;
      }
      const fall = fallen.get(endpointId);
      if (evidence === null || fall?.unless === code) return null;
      if (fallen.size >= mostFallen) fallen.clear();
      fallen.set(endpointId, { unless: code, told: (fall?.told ?? 0) + 1 });
      refill();
      const bytes = Buffer.byteLength(evidence);
      if (bytes > room) {
        dropped += 1;
        return null;
      }
      room -= bytes;
      return evidence;
    },
    settled(result) {
      const { endpointId, outcome, suspect, evidence } = result;
      if (evidence === null || (outcome === 'down' && !suspect)) return result;
      fallen.delete(endpointId);
      return { ...result, evidence: null };
    },
    dropped: () => dropped,
  };
}
