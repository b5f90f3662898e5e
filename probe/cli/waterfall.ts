import { paint, printable, type Terminal } from '../../shared/command-line.ts';
import { factLines } from '../../shared/facts-words.ts';
import type { Outcome } from '../../shared/failure.ts';
import type { Observation, Timings } from '../../shared/result.ts';

const phases = ['dns', 'connect', 'tls', 'wait', 'transfer'] as const satisfies (keyof Timings)[];
const colours = { up: 'green', degraded: 'yellow', down: 'red', skipped: 'cyan' } as const satisfies Record<
  Outcome,
  string
>;

const labelWidth = 10;
const timeWidth = 11;
const leastBar = 10;

/** One result as a person reads it: the verdict, the facts, and the phases as bars that follow one another. */
export function drawResult(terminal: Terminal, title: string, seen: Observation, nowMs: number): string {
  const { outcome } = seen;
  const head = `${paint(terminal, colours[outcome], outcome.padEnd(9))}${cut(terminal, printable(title), 9)}`;
  const why = seen.failure
    ? [`${paint(terminal, 'bold', seen.failure.code)}: ${printable(seen.failure.message)}`]
    : outcome === 'degraded'
      ? ['slower than expect.slowerThan']
      : [];
  const facts = factsOf(seen);
  const own = seen.facts ? factLines(seen.facts).map((line) => cut(terminal, printable(line), 2)) : [];
  const lines = [
    ...why,
    ...(facts ? [cut(terminal, facts, 2)] : []),
    ...tlsLine(terminal, seen, nowMs),
    ...own,
  ];
  return `${[head, ...lines.map((line) => `  ${line}`), ...drawPhases(terminal, seen.timings)].join('\n')}\n`;
}

function factsOf({ facts, status, httpVersion, remoteIp, redirects, bytes, truncated }: Observation): string {
  const parts = [
    // A status of gRPC's own is told by its name, among the facts.
    status === null || httpVersion === null || facts?.grpcStatus !== undefined
      ? ''
      : `HTTP/${httpVersion} ${status}`,
    remoteIp === null ? '' : `from ${remoteIp}`,
    status === null && bytes === 0 ? '' : `${bytes} bytes${truncated ? ' and more' : ''}`,
    redirects === 0 ? '' : `after ${redirects} redirect${redirects === 1 ? '' : 's'}`,
  ];
  return parts.filter((part) => part !== '').join(', ');
}

function tlsLine(terminal: Terminal, { tls }: Observation, nowMs: number): string[] {
  if (!tls) return [];
  const days = Math.floor((tls.notAfter * 1000 - nowMs) / 86_400_000);
  const ends = new Date(tls.notAfter * 1000).toISOString().slice(0, 10);
  const when = days < 0 ? `ended ${ends}` : `until ${ends} (${days} days)`;
  return [cut(terminal, `${tls.version}, certificate ${when} by ${printable(tls.issuer)}`, 2)];
}

/** Redirects repeat phases: each bar is what a phase took over all of them. */
function drawPhases(terminal: Terminal, timings: Timings): string[] {
  const width = (terminal.columns ?? 80) - labelWidth - timeWidth - 3;
  const scale = width >= leastBar && timings.total > 0 ? width / timings.total : 0;
  const lines: string[] = [];
  let atUs = 0;
  for (const phase of phases) {
    const us = timings[phase];
    if (us === null) continue;
    lines.push(
      phaseLine(phase, us, paint(terminal, 'cyan', bar(atUs, us, scale)), width, bar(atUs, us, scale).length),
    );
    atUs += us;
  }
  if (timings.total > 0) lines.push(phaseLine('total', timings.total, '', width, 0));
  return lines;
}

function phaseLine(name: string, us: number, drawn: string, width: number, drawnWidth: number): string {
  const room = width >= leastBar ? `${drawn}${' '.repeat(Math.max(0, width - drawnWidth))} ` : '';
  return `  ${name.padEnd(labelWidth)}${room}${formatUs(us).padStart(timeWidth)}`;
}

/** Eighths of a character, so that a short phase is seen as short. */
const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

function bar(fromUs: number, us: number, scale: number): string {
  if (scale === 0) return '';
  const start = Math.floor(fromUs * scale);
  const eight = Math.max(1, Math.round(us * scale * 8));
  return `${' '.repeat(start)}${'█'.repeat(eight >> 3)}${eighths[eight & 7]}`;
}

function formatUs(us: number): string {
  if (us < 1000) return `${us} µs`;
  return us < 1_000_000
    ? `${(us / 1000).toFixed(us < 100_000 ? 1 : 0)} ms`
    : `${(us / 1_000_000).toFixed(2)} s`;
}

function cut(terminal: Terminal, text: string, taken: number): string {
  const room = (terminal.columns ?? Number.POSITIVE_INFINITY) - taken;
  return text.length > room ? `${text.slice(0, Math.max(0, room - 1))}…` : text;
}
