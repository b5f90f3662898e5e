import { paint, printable, type Terminal } from '../../shared/command-line.ts';

/** POST /api/v1/endpoints/apply answers so. */
export interface AppliedAnswer {
  readonly dryRun: boolean;
  readonly changes: readonly ChangeAnswer[];
  readonly unchanged: number;
}

export interface ChangeAnswer {
  readonly action: 'create' | 'update' | 'delete';
  readonly id: number | null;
  readonly name: string;
  readonly rev: number;
  readonly renamedFrom: string | null;
  readonly fields: readonly { readonly path: string; readonly before?: unknown; readonly after?: unknown }[];
}

const signs = { create: ['+', 'green'], update: ['~', 'yellow'], delete: ['-', 'red'] } as const;
const maxShown = 200;

/** One line a change, with the fields of an update below it, and a line that counts. */
export function changesText(terminal: Terminal, { changes, unchanged, dryRun }: AppliedAnswer): string {
  const lines = changes.slice(0, maxShown).flatMap((change) => {
    const [sign, colour] = signs[change.action];
    const from = change.renamedFrom === null ? '' : ` (was ${change.renamedFrom})`;
    const head = paint(terminal, colour, printable(`${sign} ${change.name}${from}`));
    const fields = change.fields
      .filter(({ path }) => path !== 'name')
      .map((field) => `    ${fieldText(field)}`);
    return [head, ...fields.map((line) => cut(terminal, printable(line)))];
  });
  if (changes.length > maxShown) lines.push(`… and ${changes.length - maxShown} more`);
  return `${[...lines, countText(changes, unchanged, dryRun)].join('\n')}\n`;
}

function fieldText({ path, before, after }: ChangeAnswer['fields'][number]): string {
  if (before === '<sealed>' && after === '<sealed>') return `${path}: another secret`;
  if (before === undefined) return `${path}: ${valueText(after)}`;
  if (after === undefined) return `${path}: no longer ${valueText(before)}`;
  return `${path}: ${valueText(before)} → ${valueText(after)}`;
}

function valueText(value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : JSON.stringify(value);
}

function cut({ columns }: Terminal, line: string): string {
  return columns !== null && line.length > columns ? `${line.slice(0, columns - 1)}…` : line;
}

function countText(changes: readonly ChangeAnswer[], unchanged: number, dryRun: boolean): string {
  const count = (action: ChangeAnswer['action']) =>
    changes.filter((change) => change.action === action).length;
  const parts = [
    [count('create'), 'created'],
    [count('update'), 'updated'],
    [count('delete'), 'deleted'],
    [unchanged, 'unchanged'],
  ] as const;
  const said = parts.flatMap(([number, word]) => (number > 0 ? [`${number} ${word}`] : []));
  return `${said.join(', ') || 'nothing to do'}${dryRun && changes.length > 0 ? ' (not yet: this was a dry run)' : ''}`;
}
