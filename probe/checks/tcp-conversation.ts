import { type Failure, failure } from '../../shared/failure.ts';
import type { Pattern } from '../../shared/pattern.ts';
import type { Attempt } from './attempt.ts';
import type { PatternFound } from './pattern-worker.ts';
import { shownText } from './shown-text.ts';
import type { FindLine } from './tcp-match.ts';
import { cutOff, mostUnreadBytes, type Wire, type WireLine } from './tcp-wire.ts';

/** One step, its secrets resolved. */
export interface PlannedStep {
  readonly send: readonly PlannedPart[];
  readonly wants: { readonly pattern: Pattern } | { readonly bytes: Buffer } | null;
  readonly starttls: boolean;
}

export type PlannedPart = Buffer | { readonly capture: string };

/** What a conversation saw, whatever came of it. */
export interface Conversation {
  readonly failure: Failure | null;
  /** The connection as it is now: TLS may have come over it. */
  readonly wire: Wire;
  /** When each step ended, milliseconds since the connection stood. */
  readonly stepsMs: readonly number[];
  readonly captures: Readonly<Record<string, string>>;
  /** What came last where something else was expected. */
  readonly lastLine: string | null;
}

/** How long a line may stay without its end before it is looked at as it is: a prompt has none. */
const quietMs = 50;
const mostCaptureChars = 1024;
const mostCaptures = 10;
const mostSendBytes = 131_072;

/** Runs the steps one after the other. `upgrade` changes the connection to TLS. */
export async function converse(
  first: Wire,
  steps: readonly PlannedStep[],
  upgrade: (wire: Wire) => Promise<Wire | Failure>,
  attempt: Attempt,
  find: FindLine,
): Promise<Conversation> {
  const startedMs = performance.now() - attempt.beganMs;
  const stepsMs: number[] = [];
  const captures = new Map<string, string>();
  const shown: Record<string, string> = {};
  const secrets = createEchoMask();
  let wire = first;
  let latest: PatternFound | null = null;
  let lastLine: string | null = null;

  const sendStep = (parts: PlannedStep['send']): Failure | null => {
    if (parts.length === 0) return null;
    const data = Buffer.concat(
      parts.map((part) =>
        Buffer.isBuffer(part) ? part : Buffer.from(captured(part.capture, latest, captures)),
      ),
    );
    if (data.length > mostSendBytes)
      return failure('expect.response', `with its captures a step would send ${data.length} bytes`);
    secrets.add(data);
    wire.send(data);
    return null;
  };
  /** By their names, where a pattern has any; else by step and number. */
  const keep = ({ groups, named: byName }: PatternFound, named: string) => {
    const names = Object.entries(byName);
    const numbers = groups.slice(1).map((text, at) => [`${named}.${at + 1}`, text] as const);
    for (const [name, text] of names.length > 0 ? names : numbers) {
      if (text === null || captures.size >= mostCaptures) continue;
      captures.set(name, text.slice(0, mostCaptureChars));
      // As of now: once it is sent itself, it would be masked as an echo.
      shown[name] = secrets.masked(shownText(text, 100));
    }
  };
  const run = async (step: PlannedStep, named: string): Promise<Failure | null> => {
    const unsent = sendStep(step.send);
    if (unsent) return unsent;
    if (step.wants && 'bytes' in step.wants) {
      const missing = await awaitBytes(step.wants.bytes, wire, attempt, named);
      if (missing) return missing;
    } else if (step.wants) {
      const line = await awaitLine(step.wants.pattern, wire, attempt, find, named);
      if ('failure' in line) {
        lastLine = line.lastLine === null ? null : secrets.masked(shownText(line.lastLine));
        return line.failure;
      }
      latest = line.found;
      keep(line.found, named);
    }
    if (!step.starttls) return null;
    const upgraded = await upgrade(wire);
    if ('code' in upgraded) return upgraded;
    wire = upgraded;
    return null;
  };

  let why: Failure | null = null;
  for (const [index, step] of steps.entries()) {
    why = await run(step, `step ${index + 1}`);
    if (why) break;
    const sinceMs = performance.now() - attempt.beganMs - startedMs;
    stepsMs.push(Math.max(0, Math.round(sinceMs * 1000) / 1000));
  }
  return { failure: why, wire, stepsMs, captures: shown, lastLine };
}

/** A number is a group of the pattern that matched last; what took no part is empty. */
function captured(name: string, latest: PatternFound | null, captures: ReadonlyMap<string, string>): string {
  if (/^\d/.test(name)) return (latest?.groups[Number(name)] ?? '').slice(0, mostCaptureChars);
  return captures.get(name) ?? '';
}

interface NoLine {
  readonly failure: Failure;
  readonly lastLine: string | null;
}

/** Lines until one matches. What has no end of a line is looked at when nothing more comes. */
async function awaitLine(
  pattern: Pattern,
  wire: Wire,
  attempt: Attempt,
  find: FindLine,
  named: string,
): Promise<{ readonly found: PatternFound } | NoLine> {
  let others = 0;
  let readBytes = 0;
  let lastLine: string | null = null;
  let tested = 0;
  /** Up to which byte of them all is done with, and the line, where it is among them. */
  const look = async (
    lines: readonly WireLine[],
  ): Promise<NoLine | { readonly found: PatternFound | null; readonly end: number }> => {
    const texts = lines.map(({ text }) => text);
    const found = await find(pattern, texts, wire);
    if (found && 'code' in found) return { failure: found, lastLine: null };
    const end = lines[found ? found.at : lines.length - 1]?.end ?? 0;
    lastLine = texts.at(-1) ?? lastLine;
    return { found, end };
  };
  const rest = () => {
    const unread = wire.unread();
    return { text: unread.toString('utf8'), end: unread.length };
  };
  for (;;) {
    const lines = wire.lines();
    if (lines.length > 0) {
      const looked = await look(lines);
      if ('failure' in looked) return looked;
      wire.take(looked.end);
      if (looked.found) return { found: looked.found };
      others += lines.length;
      readBytes += looked.end;
      tested = 0;
      if (readBytes < mostUnreadBytes) continue;
    }
    const waiting = wire.unread().length;
    const full = readBytes + waiting >= mostUnreadBytes;
    const heard = full ? null : await wire.more(waiting > tested ? quietMs : undefined);
    if (heard?.kind === 'bytes') continue;
    const partial = rest();
    if (partial.end > tested && wire.lines().length === 0) {
      tested = partial.end;
      const silentMs = performance.now() - wire.lastByteMs();
      const looked = await look([partial]);
      if ('failure' in looked) return looked;
      if (looked.found) {
        wire.take(looked.end);
        // It was all there before the silence that showed it.
        if (heard?.kind === 'quiet') wire.leaveOut(silentMs);
        return { found: looked.found };
      }
    }
    if (heard?.kind === 'quiet') continue;
    const none = (seen: number) =>
      `${named}: ${seen === 1 ? 'the line that came is' : `none of ${seen} lines is`}`;
    const seen = others + (tested > 0 ? 1 : 0);
    if (!heard) {
      const limit = `nothing in ${mostUnreadBytes} bytes is`;
      return { failure: failure('expect.response', `${named}: ${limit} what is expected`), lastLine };
    }
    const why = cutOff(heard, wire, attempt, `the line of ${named}`);
    const stopped = why.code === 'probe.internal';
    if (stopped || seen === 0) return { failure: why, lastLine };
    return {
      failure: failure('expect.response', `${none(seen)} ${seen === 1 ? 'not ' : ''}what is expected`),
      lastLine,
    };
  }
}

/** Bytes until these have come; all before them is done with. */
async function awaitBytes(
  wanted: Buffer,
  wire: Wire,
  attempt: Attempt,
  named: string,
): Promise<Failure | null> {
  let passed = 0;
  for (;;) {
    const unread = wire.unread();
    const at = unread.indexOf(wanted);
    if (at >= 0) {
      wire.take(at + wanted.length);
      return null;
    }
    // The start of what is wanted may be the end of what is there.
    const done = Math.max(0, unread.length - (wanted.length - 1));
    wire.take(done);
    passed += done;
    if (passed >= mostUnreadBytes)
      return failure('expect.response', `${named}: nothing in ${mostUnreadBytes} bytes is what is expected`);
    const heard = await wire.more();
    if (heard.kind === 'bytes' || heard.kind === 'quiet') continue;
    const why = cutOff(heard, wire, attempt, `the bytes of ${named}`);
    if (passed + wire.unread().length === 0 || why.code === 'probe.internal') return why;
    return failure('expect.response', `${named}: what came does not hold the bytes that are expected`);
  }
}

const mostWords = 200;

/**
 * A server may say what it was told: an echo, or `bad command: LOGIN user password`. Every word that was sent is left
 * out of what is shown of its answers.
 */
function createEchoMask() {
  const words = new Set<string>();
  return {
    add(sent: Buffer) {
      for (const word of sent.toString('utf8').split(/[\s\0]+/)) {
        if (word.length >= 4 && words.size < mostWords) words.add(shownText(word, 4096));
      }
    },
    masked(text: string): string {
      let left = text;
      for (const word of [...words].sort((a, b) => b.length - a.length)) left = left.replaceAll(word, '***');
      return left;
    },
  };
}
