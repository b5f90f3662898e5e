import { setTimeout as wait } from 'node:timers/promises';
import { Command } from 'commander';
import {
  type CliContext,
  Failed,
  jsonLine,
  paint,
  printable,
  type Terminal,
  UsageError,
} from '../../shared/command-line.ts';
import { readStatusFacts } from '../status/facts.ts';
import { act, type Level, type StatusLine, watch } from '../status/line.ts';
import { statusLines } from '../status/lines.ts';
import { openDatabase } from '../store/database.ts';
import { connectHub, type HubClient } from './hub-client.ts';

interface Status {
  readonly at: string;
  readonly lines: readonly StatusLine[];
}

interface StatusFlags {
  readonly json?: true;
  readonly watch?: string | true;
}

export function statusCommand(context: CliContext): Command {
  return new Command('status')
    .description('how everything is on one screen, and what to do about what is not well')
    .option('--json', 'one JSON object a line')
    .option('--watch [SECONDS]', 'again and again, until Ctrl-C (default: every 5 s)')
    .addHelpText(
      'after',
      `
Exit codes: 0 nothing needs a person (! is worth knowing), 1 something does (x).
Where the hub does not answer it says what it can without: from DATABASE_URL, where that is set.

Examples:
  parallax status
  parallax status --watch
  parallax status --json | jq 'select(.level != "ok")'`,
    )
    .action(async ({ json, watch: again }: StatusFlags) => {
      const { terminal, signal } = context;
      const everyMs = again === undefined ? null : secondsOf(again) * 1000;
      for (;;) {
        const status = await readStatus(context);
        if (json) terminal.out(status.lines.map(jsonLine).join(''));
        else
          terminal.out(
            `${everyMs !== null && terminal.columns !== null ? clear : ''}${screen(status, terminal)}`,
          );
        if (everyMs === null) {
          // All is said already.
          if (status.lines.some(({ level }) => level === 'act')) throw new Failed('');
          return;
        }
        await wait(everyMs, undefined, { signal }).catch(() => undefined);
        if (signal.aborted) return;
      }
    });
}

const clear = '\u001b[2J\u001b[H';

function secondsOf(given: string | true): number {
  if (given === true) return 5;
  if (/^[1-9]\d{0,3}$/.test(given)) return Number(given);
  throw new UsageError(`--watch ${given}: a whole number of seconds, from 1 on`);
}

/** From the hub; else from the database it would ask, and from what the hub says to strangers. */
async function readStatus({ env, cwd, signal }: CliContext): Promise<Status> {
  const hub = await connectHub(env, cwd, signal);
  try {
    return await hub.get<Status>('/api/v1/status');
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    const ready = await readiness(hub, signal);
    const head = act('hub', error.message, 'start it, or see its log for why it does not answer');
    const rest = await fromDatabase(env.DATABASE_URL);
    return { at: new Date().toISOString(), lines: [head, ...ready, ...rest] };
  }
}

async function readiness({ origin }: HubClient, signal: AbortSignal): Promise<StatusLine[]> {
  const answer = await fetch(`${origin}/readyz`, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(3000)]),
  }).catch(() => null);
  const told = (await answer?.json().catch(() => null)) as {
    missing?: { what: string; why: string }[];
  } | null;
  return (told?.missing ?? []).map(({ what, why }) =>
    act('hub', `it says: ${what}: ${why}`, 'see its log', { what }),
  );
}

async function fromDatabase(url: string | undefined): Promise<StatusLine[]> {
  if (!url) {
    const says = 'nothing more can be told without it';
    return [watch('database', says, 'set DATABASE_URL, and this command asks the database itself')];
  }
  const db = openDatabase({
    url,
    maxConnections: 1,
    applicationName: 'parallax-status',
    queryTimeoutMs: 10_000,
  });
  try {
    return statusLines(await readStatusFacts(db));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [act('database', `does not answer either: ${why}`, 'start PostgreSQL, or correct DATABASE_URL')];
  } finally {
    await db.end();
  }
}

const marks: Readonly<Record<Level, readonly [mark: string, colour: 'green' | 'yellow' | 'red']>> = {
  ok: [' ', 'green'],
  watch: ['!', 'yellow'],
  act: ['x', 'red'],
};
const areaWidth = 11;

/** An area's name stands once; long lines go on below themselves, advice under what it is for. */
function screen({ at, lines }: Status, terminal: Terminal): string {
  const width = Math.max(40, terminal.columns ?? 100) - areaWidth - 2;
  const count = (level: Level) => lines.filter((line) => line.level === level).length;
  const [acts, watches] = [count('act'), count('watch')];
  const sum =
    acts > 0
      ? paint(terminal, 'red', `${acts} ${acts === 1 ? 'thing needs' : 'things need'} a person`)
      : paint(terminal, 'green', 'nothing needs a person');
  const more = watches > 0 ? `, ${watches} worth knowing` : '';
  const out = [`${at.slice(0, 19).replace('T', ' ')} UTC: ${sum}${more}`, ''];
  let area = '';
  for (const line of lines) {
    const [mark, colour] = marks[line.level];
    const name = line.area === area ? '' : line.area;
    area = line.area;
    const [first = '', ...rest] = wrapped(printable(line.says), width);
    const paintIt = (text: string) => (line.level === 'ok' ? text : paint(terminal, colour, text));
    out.push(`${name.padEnd(areaWidth)}${paintIt(`${mark} ${first}`)}`.trimEnd());
    for (const part of rest) out.push(`${''.padEnd(areaWidth + 2)}${paintIt(part)}`);
    for (const [index, part] of wrapped(line.advice ?? '', width - 3).entries()) {
      out.push(paint(terminal, 'dim', `${''.padEnd(areaWidth + 2)}${index === 0 ? '-> ' : '   '}${part}`));
    }
  }
  return `${out.join('\n')}\n`;
}

/** Broken between words; a word that is longer than a line is broken too. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((each) => each.match(new RegExp(`.{1,${width}}`, 'gu')) ?? [])) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return line === '' ? lines : [...lines, line];
}
