import { join } from 'node:path';
import { startChild } from './child.ts';
import { type Row, row } from './report.ts';
import type { ScheduleFigures } from './schedule-child.ts';

/** Lateness at 2,000 checks a second, with 60,000 and with 150,000 entries. */
export async function benchSchedule(seconds: number, say: (line: string) => void): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [entries, interval] of [
    [60_000, 30],
    [150_000, 75],
  ] as const) {
    const what = `${entries} entries, ${entries / interval} slots/s`;
    say(what);
    const file = join(import.meta.dirname, 'schedule-child.ts');
    const child = startChild('measured', process.execPath, [file, `${entries}`, `${interval}`, `${seconds}`]);
    const { p99Us, worstUs, cpu, heapMb, peakToMean, fired } = await child.next<ScheduleFigures>(
      seconds * 1000 + 60_000,
    );
    const due = (entries / interval) * seconds;
    if (Math.abs(fired / due - 1) > 0.05) throw new Error(`${fired} slots came, ${due} were due`);
    const figures: [name: string, value: number, unit: string, budget: number | null][] = [
      ['p99 lateness', p99Us / 1000, 'ms', 5],
      ['worst lateness', worstUs / 1000, 'ms', null],
      ['CPU of one core', cpu * 100, '%', null],
      ['heap', heapMb, 'MB', null],
      ['fullest 100 ms to mean', peakToMean, 'ratio', null],
    ];
    for (const [name, value, unit, budget] of figures) {
      rows.push(
        row({ bench: 'schedule', what: `${name}: ${what}`, value, unit, peer: null, limit: null, budget }),
      );
    }
  }
  return rows;
}
