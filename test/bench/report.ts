/** One figure beside what it is to be held against. CPU figures are milliseconds a check. */
export interface Row {
  readonly bench: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** The same work by the peer in the same run; null where there is none here. */
  readonly peer: number | null;
  /** The least that Node itself needs for it, in the same run. */
  readonly limit: number | null;
  readonly budget: number | null;
  /** Null where there is no budget. */
  readonly within: boolean | null;
}

/** `atLeast`: the budget is a floor, not a ceiling. */
export function row({ atLeast = false, ...of }: Omit<Row, 'within'> & { readonly atLeast?: boolean }): Row {
  const { value, budget } = of;
  return { ...of, within: budget === null ? null : atLeast ? value >= budget : value <= budget };
}

/** Of two figures of which one may be nothing at all. */
function ratio(of: number, to: number): string {
  return of === 0 || to === 0 ? '-' : `${figure(of / to)}x`;
}

/** Three digits that count, or all of a whole number. */
function figure(value: number | null): string {
  return value === null ? '-' : String(Number(value.toPrecision(Math.abs(value) >= 1000 ? 4 : 3)));
}

export function tableOf(rows: readonly Row[]): string {
  const head = ['bench', 'what', 'value', 'unit', 'peer', 'peer/ours', 'limit', 'ours/limit', 'budget', ''];
  const body = rows.map(({ bench, what, value, unit, peer, limit, budget, within }) => [
    bench,
    what,
    figure(value),
    unit,
    figure(peer),
    peer === null ? '-' : ratio(peer, value),
    figure(limit),
    limit === null ? '-' : ratio(value, limit),
    figure(budget),
    within === null ? '' : within ? 'within' : 'OVER',
  ]);
  const widths = head.map((title, at) =>
    Math.max(title.length, ...body.map((line) => (line[at] ?? '').length)),
  );
  return [head, ...body]
    .map((line) =>
      line
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
