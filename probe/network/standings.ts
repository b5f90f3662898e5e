import type { FailureCode } from '../../shared/failure.ts';
import { type Scope, scopes } from './scope.ts';

/** A result as it counts for the network. Instants are microseconds on one clock that never goes back. */
export interface Seen {
  readonly endpointId: number;
  /** What it fails with; null where it is up or degraded. */
  readonly code: FailureCode | null;
  /** Of the address that answered; null where none did. */
  readonly scope: Scope | null;
  readonly intervalUs: number;
  readonly atUs: number;
}

/**
 * Which targets of this probe were up, and which of them fell within their last interval: the mass failure rule counts
 * these. Pure but for its memory, which is bounded.
 */
export interface Standings {
  /** `news`: it fails as it did not before. `scope`: where the endpoint lies, as far as it was ever seen. */
  note(seen: Seen): { readonly news: boolean; readonly scope: Scope };
  tally(scope: Scope, nowUs: number): { readonly up: number; readonly fallen: number };
  /** Where targets lie that were heard of lately, up or not. */
  inUse(): readonly Scope[];
  /** Undefined for one that was never seen. */
  scopeOf(endpointId: number): Scope | undefined;
  readonly size: number;
}

interface Standing {
  good: boolean;
  code: FailureCode | null;
  scope: Scope;
  /** It fell, and counts as fallen, until then; 0 for not. */
  fallenUntilUs: number;
  /** Not heard of until then it is not this probe's any more. */
  staleUs: number;
}

const staleIntervals = 4;
const mostEndpoints = 500_000;
/** Entries looked at with each result, so that what went stale goes without a walk over all. */
const sweptAtOnce = 2;
/** Fallen ones that have had their interval are looked for so often. */
const pruneEveryUs = 250_000;

export function createStandings(): Standings {
  const standings = new Map<number, Standing>();
  const fallen = new Map<number, Standing>();
  const up = new Map<Scope, number>(scopes.map((scope) => [scope, 0]));
  const fell = new Map<Scope, number>(scopes.map((scope) => [scope, 0]));
  const all = new Map<Scope, number>(scopes.map((scope) => [scope, 0]));
  let sweep = standings.entries();
  let prunedUs = Number.NEGATIVE_INFINITY;

  const count = (of: Map<Scope, number>, scope: Scope, by: 1 | -1) =>
    of.set(scope, (of.get(scope) ?? 0) + by);

  function setFallen(id: number, standing: Standing, untilUs: number): void {
    standing.fallenUntilUs = untilUs;
    fallen.set(id, standing);
    count(fell, standing.scope, 1);
  }

  function unsetFallen(id: number, standing: Standing): void {
    if (fallen.delete(id)) count(fell, standing.scope, -1);
  }

  function forget(id: number, standing: Standing): void {
    if (standing.good) count(up, standing.scope, -1);
    unsetFallen(id, standing);
    count(all, standing.scope, -1);
    standings.delete(id);
  }

  function sweepSome(nowUs: number): void {
    for (let swept = 0; swept < sweptAtOnce; swept += 1) {
      const next = sweep.next();
      if (next.done) {
        sweep = standings.entries();
        return;
      }
      const [id, standing] = next.value;
      if (standing.staleUs < nowUs) forget(id, standing);
    }
  }

  function prune(nowUs: number): void {
    if (nowUs - prunedUs < pruneEveryUs) return;
    prunedUs = nowUs;
    for (const [id, standing] of fallen) if (standing.fallenUntilUs <= nowUs) unsetFallen(id, standing);
  }

  return {
    note({ endpointId, code, scope, intervalUs, atUs }) {
      const good = code === null;
      const before = standings.get(endpointId);
      const known = before ?? { good: false, code: null, scope: 'public', fallenUntilUs: 0, staleUs: 0 };
      if (!before) {
        if (standings.size >= mostEndpoints) for (const [id, one] of standings) forget(id, one);
        standings.set(endpointId, known);
        count(all, known.scope, 1);
      }
      const news = !good && (!before || known.good || known.code !== code);
      if (known.good) count(up, known.scope, -1);
      if (good) unsetFallen(endpointId, known);
      // Where it lies is told by a target that answers: an address that did not may be anybody's.
      if (scope && (good || !before)) {
        count(all, known.scope, -1);
        known.scope = scope;
        count(all, scope, 1);
      }
      if (good) count(up, known.scope, 1);
      else if (known.good) setFallen(endpointId, known, atUs + intervalUs);
      known.good = good;
      known.code = code;
      known.staleUs = atUs + staleIntervals * intervalUs;
      sweepSome(atUs);
      return { news, scope: known.scope };
    },
    tally(scope, nowUs) {
      prune(nowUs);
      return { up: up.get(scope) ?? 0, fallen: fell.get(scope) ?? 0 };
    },
    inUse: () => scopes.filter((scope) => (all.get(scope) ?? 0) > 0),
    scopeOf: (endpointId) => standings.get(endpointId)?.scope,
    get size() {
      return standings.size;
    },
  };
}
