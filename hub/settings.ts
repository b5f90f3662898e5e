import * as z from 'zod';

/** Everything that is wrong with what the hub was told, in one error: each line names its variable or flag. */
export class SettingsError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(
      problems.length === 1
        ? `${problems[0]}`
        : `${problems.length} settings are wrong:\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
    );
    this.name = 'SettingsError';
    this.problems = problems;
  }
}

export type Env = Readonly<Record<string, string | undefined>>;

/** Where a setting may stand: a flag goes before its variable. */
export interface Place {
  /** As it is written: `--listen`. */
  readonly flag?: readonly [name: string, value: string | undefined];
  readonly variable: string;
  /** `VARIABLE_FILE` may name a file that holds it, as secrets are mounted. */
  readonly orFile?: boolean;
}

export interface Settings {
  /** What stands there as the schema reads it, else the fallback. What is wrong is remembered, and the fallback given. */
  read<T>(place: Place, schema: z.ZodType<T, string>, fallback: T): T;
  /** The same where there must be one: `missing` says what to do. Undefined stands in for a value that is wrong. */
  need<T>(place: Place, schema: z.ZodType<T, string>, missing: string): T | undefined;
  /** The text of a file a setting names, or, where it holds PEM, itself. */
  pem(place: Place): string | null;
  /** That file's path; null where the setting holds PEM itself, or nothing. */
  pemFile(place: Place): string | null;
  complain(problem: string): void;
  /** Throws SettingsError where anything was wrong. */
  settle(): void;
}

/** Reads settings and gathers what is wrong with them. A variable set to nothing counts as unset. */
export function createSettings(env: Env, readFile: (path: string) => string): Settings {
  const problems: string[] = [];

  function given({ flag, variable, orFile }: Place): { label: string; text: string } | null {
    if (flag?.[1] !== undefined) return { label: flag[0], text: flag[1] };
    const text = env[variable]?.trim();
    if (text) return { label: variable, text };
    const path = orFile ? env[`${variable}_FILE`]?.trim() : undefined;
    if (!path) return null;
    const content = fromFile(`${variable}_FILE`, path);
    return content === null ? null : { label: `${variable}_FILE (${path})`, text: content.trim() };
  }

  function fromFile(label: string, path: string): string | null {
    try {
      return readFile(path);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why =
        code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'may not be read' : message;
      problems.push(`${label} ${path}: ${why}`);
      return null;
    }
  }

  function parse<T>(label: string, text: string, schema: z.ZodType<T, string>): T | undefined {
    const parsed = schema.safeParse(text);
    if (parsed.success) return parsed.data;
    problems.push(`${label}: ${parsed.error.issues[0]?.message ?? 'is wrong'}`);
    return undefined;
  }

  return {
    read(place, schema, fallback) {
      const found = given(place);
      return (found && parse(found.label, found.text, schema)) ?? fallback;
    },
    need(place, schema, missing) {
      const before = problems.length;
      const found = given(place);
      if (found) return parse(found.label, found.text, schema);
      if (problems.length === before) problems.push(`${place.variable} is not set: ${missing}`);
      return undefined;
    },
    pem(place) {
      const found = given(place);
      if (!found) return null;
      return found.text.startsWith('-----BEGIN ') ? found.text : fromFile(found.label, found.text);
    },
    pemFile(place) {
      const text = given(place)?.text;
      return text === undefined || text.startsWith('-----BEGIN ') ? null : text;
    },
    complain: (problem) => void problems.push(problem),
    settle() {
      if (problems.length > 0) throw new SettingsError(problems);
    },
  };
}

/** Text that `read` understands; where it gives undefined, `expected` says what would have been right. */
export function setting<T>(
  expected: string,
  read: (text: string) => T | null | undefined,
): z.ZodType<T, string> {
  return z.string().transform((text, context) => {
    const value = read(text);
    if (value !== null && value !== undefined) return value;
    context.issues.push({ code: 'custom', input: text, message: `'${shorten(text)}' is not ${expected}` });
    return z.NEVER;
  });
}

/** The same for a value nobody may read over a shoulder. */
export function secretSetting<T>(expected: string, read: (text: string) => T | null): z.ZodType<T, string> {
  return z.string().transform((text, context) => {
    const value = read(text);
    if (value !== null) return value;
    context.issues.push({ code: 'custom', input: '', message: `is not ${expected}` });
    return z.NEVER;
  });
}

export function wholeNumber(least: number, most: number): z.ZodType<number, string> {
  return setting(`a whole number from ${least} to ${most}`, (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= least && value <= most ? value : null;
  });
}

export function oneOf<const Word extends string>(words: readonly Word[]): z.ZodType<Word, string> {
  return setting(`one of ${words.join(', ')}`, (text) => words.find((word) => word === text));
}

export const yesOrNo: z.ZodType<boolean, string> = setting('true or false', (text) => {
  if (/^(true|1|yes|on)$/i.test(text)) return true;
  return /^(false|0|no|off)$/i.test(text) ? false : null;
});

/** Words parted by commas; each is read by `one`. */
export function listOf<T>(expected: string, one: (word: string) => T | null): z.ZodType<T[], string> {
  return setting(`${expected}, parted by commas`, (text) => {
    const words = text
      .split(',')
      .map((word) => word.trim())
      .filter((word) => word !== '');
    const values = words.map(one).filter((value) => value !== null);
    return words.length > 0 && values.length === words.length ? values : null;
  });
}

function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
