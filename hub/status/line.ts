/** `ok`: as it should be. `watch`: worth knowing. `act`: somebody should do what `advice` says, also at night. */
export type Level = 'ok' | 'watch' | 'act';

/** One thing an operator looks at, in words, with its figures for programs. */
export interface StatusLine {
  readonly area:
    | 'hub'
    | 'database'
    | 'bus'
    | 'ingest'
    | 'probes'
    | 'rejects'
    | 'partitions'
    | 'tables'
    | 'keys'
    | 'alarms';
  readonly level: Level;
  readonly says: string;
  /** What to do; null where nothing is. */
  readonly advice: string | null;
  readonly facts: Readonly<Record<string, string | number | boolean | null>>;
}

type Facts = StatusLine['facts'];

export function ok(area: StatusLine['area'], says: string, facts: Facts = {}): StatusLine {
  return { area, level: 'ok', says, advice: null, facts };
}

export function watch(area: StatusLine['area'], says: string, advice: string, facts: Facts = {}): StatusLine {
  return { area, level: 'watch', says, advice, facts };
}

export function act(area: StatusLine['area'], says: string, advice: string, facts: Facts = {}): StatusLine {
  return { area, level: 'act', says, advice, facts };
}
