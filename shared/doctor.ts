import { jsonLine, paint, printable, type Terminal } from './command-line.ts';

/** One thing that was looked at. `warn` goes on working, `fail` does not. */
export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'warn' | 'fail';
  /** What was seen. */
  readonly seen: string;
  /** For the person who can act; null where nothing is to be done. */
  readonly todo: string | null;
}

export const ok = (check: string, seen: string): Finding => ({ check, state: 'ok', seen, todo: null });
export const warn = (check: string, seen: string, todo: string): Finding => ({
  check,
  state: 'warn',
  seen,
  todo,
});
export const fail = (check: string, seen: string, todo: string | null): Finding => ({
  check,
  state: 'fail',
  seen,
  todo,
});

/** A look at one thing; it may find several, or nothing to say. It never takes longer than its own deadline. */
export type Look = () => Promise<readonly Finding[]>;

const marks = { ok: ['✓', 'green'], warn: ['!', 'yellow'], fail: ['x', 'red'] } as const;

/** Each look is told as it ends, in the order given. Returns whether nothing failed. */
export async function examine(terminal: Terminal, looks: readonly Look[], json: boolean): Promise<boolean> {
  let sound = true;
  for (const look of looks) {
    for (const finding of await look()) {
      sound &&= finding.state !== 'fail';
      terminal.out(json ? jsonLine(finding) : drawn(terminal, finding));
    }
  }
  return sound;
}

function drawn(terminal: Terminal, { check, state, seen, todo }: Finding): string {
  const [mark, colour] = marks[state];
  const line = `${paint(terminal, colour, mark)} ${paint(terminal, 'bold', check.padEnd(14))} ${printable(seen)}\n`;
  return todo === null ? line : `${line}${' '.repeat(17)}→ ${printable(todo)}\n`;
}
