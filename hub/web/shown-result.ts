import type { Result } from '../../shared/result.ts';
import type { OrderAnswerRow } from '../store/list-order-answers.ts';
import type { Registry } from '../trust/registry.ts';
import type { PageProbe } from './board.ts';
import type { ShownResult } from './result-line.tsx';

type Names = Pick<Registry, 'regionById' | 'probeById'>;
type Clocks = ReadonlyMap<number, number | null>;

/** By probe: how far its machine's clock is ahead of hub time. */
export function clocksOf(probes: readonly PageProbe[]): Clocks {
  return new Map(probes.map(({ id, clockOffsetUs }) => [id, clockOffsetUs]));
}

export function shownOfResult(registry: Names, clocks: Clocks, result: Result): ShownResult {
  const { scheduledAt, startedAt, suspect } = result;
  return {
    ...namesOf(registry, result),
    scheduledAt,
    startedAt,
    suspect,
    seen: result,
    slot: result,
    clockOffsetUs: clocks.get(result.probeId) ?? null,
    evidence: null,
  };
}

/** What a probe answered was read by a schema, but for what only this Parallax's own newest probes say. */
export function shownOfAnswer(registry: Names, clocks: Clocks, row: OrderAnswerRow): ShownResult {
  const { startedAt, suspect, observation } = row.answer;
  return {
    ...namesOf(registry, row),
    scheduledAt: null,
    startedAt,
    suspect,
    seen: observation,
    slot: null,
    clockOffsetUs: clocks.get(row.probeId) ?? null,
    evidence: null,
  };
}

function namesOf(registry: Names, { regionId, probeId }: { regionId: number; probeId: number }) {
  return {
    region: registry.regionById(regionId)?.name ?? String(regionId),
    probe: registry.probeById(probeId)?.name ?? null,
  };
}
