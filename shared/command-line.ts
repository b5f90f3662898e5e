import { type Command, CommanderError } from 'commander';

/** The thing checked or asked for failed: exit code 1, the message as it stands, no usage. */
export class Failed extends Error {}

/** The words of the call are off: exit code 2. */
export class UsageError extends Error {}

export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** A log's way to standard output where that is a file: a line that a full disk has no room for is lost, no more. */
  readonly log?: (text: string) => void;
  /** Characters a line of output may have; null where it is not a terminal: then nothing is cut or coloured. */
  readonly columns: number | null;
  readonly colour: boolean;
}

/** What a command takes from the world it was called in. */
export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly terminal: Terminal;
  /** Aborted by Ctrl-C, SIGTERM and SIGHUP. */
  readonly signal: AbortSignal;
}

/** Runs one command to its exit code: 0 ok, 1 failed, 2 usage. Unexpected errors pass through: they are bugs. */
export async function runCommandLine(
  program: Command,
  argv: readonly string[],
  terminal: Terminal,
): Promise<number> {
  quieten(program.name(`parallax ${program.name()}`), terminal);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof Failed || error instanceof UsageError)) throw error;
    // Part of it may be a stranger's words; its lines are ours.
    const lines = error.message.split('\n').map(printable).join('\n');
    if (lines) terminal.err(`parallax: ${lines}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

function quieten(command: Command, terminal: Terminal): void {
  command.exitOverride().configureOutput({
    writeOut: terminal.out,
    writeErr: terminal.err,
    outputError: (text, write) => write(text.replace(/^error: /, 'parallax: ')),
    getOutHelpWidth: () => terminal.columns ?? 100,
    getErrHelpWidth: () => terminal.columns ?? 100,
  });
  for (const option of command.options) {
    // Written as `--listen ADDRESS` or `--allow-network CIDR[:PORT]`; commander sees a value in <angle brackets> only.
    option.required = / \S/.test(option.flags.replace(/^-\w, /, '')) && !/ \[[^\]]*\]$/.test(option.flags);
    if (option.required) option.optional = false;
  }
  command.showHelpAfterError(`(${fullName(command)} --help tells more)`);
  for (const sub of command.commands) quieten(sub, terminal);
}

function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export function paint(terminal: Terminal, style: keyof typeof codes, text: string): string {
  return terminal.colour ? `\u001b[${codes[style]}m${text}\u001b[0m` : text;
}

/** One JSON object a line: what `--json` prints. */
export function jsonLine(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

/** Text from strangers, safe to print: control characters as U+FFFD. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}

/**
 * Columns side by side, as wide as their widest cell; where the terminal is narrower, the last column is cut.
 * Cells are plain text: `style` paints a padded cell.
 */
export function table(
  terminal: Terminal,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  style: (cell: string, column: number, row: number) => string = (cell) => cell,
): string {
  const safe = rows.map((row) => row.map(printable));
  const widths = head.map((title, column) =>
    Math.max(title.length, ...safe.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[], row: number) => {
    let left = terminal.columns ?? Number.POSITIVE_INFINITY;
    const shown: string[] = [];
    for (const column of head.keys()) {
      // Not even a mark of what is cut would fit.
      if (left < 1) break;
      const last = column === head.length - 1;
      const cell = last ? (cells[column] ?? '') : (cells[column] ?? '').padEnd(widths[column] ?? 0);
      const cut = cell.length > left ? `${cell.slice(0, left - 1)}…` : cell;
      left -= cell.length + 2;
      shown.push(row < 0 ? paint(terminal, 'bold', cut) : style(cut, column, row));
    }
    return shown.join('  ').trimEnd();
  };
  return `${[line(head, -1), ...safe.map((row, index) => line(row, index))].join('\n')}\n`;
}
