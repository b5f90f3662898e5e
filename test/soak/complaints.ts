import { readFile } from 'node:fs/promises';

/** What a log holds that an operator would look up from sleep for: equal lines once, with how often. */
export type Complaints = ReadonlyMap<string, number>;

/** JSON lines of hub and probes at `warn` or above, and what they say to the terminal as an error. */
export function complaintsOf(text: string): Complaints {
  return counted(
    text.split('\n').flatMap((line) => {
      if (line.startsWith('parallax: ') || /Warning: /.test(line)) return [line];
      if (!line.startsWith('{')) return [];
      const {
        level = 0,
        msg = '',
        err,
      } = JSON.parse(line) as { level?: number | string; msg?: string; err?: { message?: string } };
      const isBad = typeof level === 'number' ? level >= 40 : /^(warn|error|fatal)$/.test(level);
      return isBad ? [`${msg}${err?.message ? `: ${err.message}` : ''}`] : [];
    }),
  );
}

/** A server's own log, from a byte on: the lines that match. */
export async function complaintsIn(file: string, fromByte: number, bad: RegExp): Promise<Complaints> {
  const text = (await readFile(file).catch(() => Buffer.alloc(0))).subarray(fromByte).toString('utf8');
  return counted(text.split('\n').filter((line) => bad.test(line)));
}

function counted(lines: readonly string[]): Complaints {
  const counts = new Map<string, number>();
  for (const line of lines) {
    // What differs from line to line in figures alone is one thing.
    const key = line.replace(/\d+/g, '#').slice(0, 200);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
