import type { Board, Tick } from './board.ts';
import { glanceFor } from './scope.ts';
import type { ViewState } from './view.ts';

/** An endpoint whose worst view is another than it was. */
export interface Moved {
  readonly id: number;
  readonly name: string;
  readonly from: ViewState;
  readonly to: ViewState;
}

/** What changes between two reads: also where nothing came, and a view has gone unseen. */
export interface RowWatch {
  /** From now on: nobody watched before. */
  begin(): void;
  /** Somebody has just been shown these. */
  note(endpointIds: Iterable<number>): void;
  /** Looks at what the read brought, or at everything. */
  moved(tick: Tick, everything: boolean): readonly Moved[];
  /** For each of these endpoints the regions whose view is another than at the call before. */
  changed(tick: Tick, endpointIds: ReadonlySet<number>): ReadonlyMap<number, ReadonlySet<number>>;
}

/** `asOf` tells up to when views are fresh, epoch seconds. */
export function createRowWatch(board: Board, asOf: () => number): RowWatch {
  const worst = new Map<number, ViewState>();
  const seen = new Map<number, readonly ViewState[]>();
  const statesOf = (id: number, fresh: number) => {
    const endpoint = board.endpoint(id);
    return endpoint && glanceFor(board, endpoint, board.regions(), fresh).states;
  };
  return {
    begin() {
      seen.clear();
      worst.clear();
      const fresh = asOf();
      for (const endpoint of board.endpoints()) {
        worst.set(endpoint.id, glanceFor(board, endpoint, board.regions(), fresh).state);
      }
    },
    note(endpointIds) {
      const fresh = asOf();
      for (const id of endpointIds) {
        const states = seen.has(id) ? undefined : statesOf(id, fresh);
        if (states) seen.set(id, states);
      }
    },
    moved(tick, everything) {
      const asked = everything
        ? board.endpoints()
        : [...tick.changed.keys()].flatMap((id) => board.endpoint(id) ?? []);
      const fresh = asOf();
      return asked.flatMap((endpoint) => {
        const { id, name } = endpoint;
        const to = glanceFor(board, endpoint, board.regions(), fresh).state;
        const from = worst.get(id);
        worst.set(id, to);
        return from && from !== to ? [{ id, name, from, to }] : [];
      });
    },
    changed(tick, endpointIds) {
      for (const id of seen.keys()) if (!endpointIds.has(id)) seen.delete(id);
      const fresh = asOf();
      const cells = new Map<number, ReadonlySet<number>>();
      for (const id of endpointIds) {
        const states = statesOf(id, fresh);
        if (!states) continue;
        const before = seen.get(id) ?? states;
        seen.set(id, states);
        const changed = new Set(tick.changed.get(id));
        for (const [index, region] of board.regions().entries()) {
          if (before[index] !== states[index]) changed.add(region.id);
        }
        if (changed.size > 0) cells.set(id, changed);
      }
      return cells;
    },
  };
}
