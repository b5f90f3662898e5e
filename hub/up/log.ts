import { copyFile, open, readFile, stat, truncate } from 'node:fs/promises';

const maxLogBytes = 20 * 1024 * 1024;

/** Keeps a growing log bounded: what is there moves to `.1`, and its writers, who append, go on at the start. */
export async function boundLog(file: string): Promise<void> {
  if ((await sizeOf(file)) < maxLogBytes) return;
  await copyFile(file, `${file}.1`);
  await truncate(file, 0);
}

export async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}

/** A descriptor to append to while `work` hands it on. */
export async function withLog<T>(file: string, work: (descriptor: number) => Promise<T>): Promise<T> {
  const log = await open(file, 'a', 0o600);
  try {
    return await work(log.fd);
  } finally {
    await log.close();
  }
}

/** What a process said last since `fromByte`, without the dress of its log: why it ended, for people. */
export async function lastWords(file: string, fromByte: number): Promise<string> {
  const text = (await readFile(file).catch(() => Buffer.alloc(0))).subarray(fromByte).toString('utf8');
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const told = lines.findLast((line) => line.startsWith('parallax: ')) ?? lines.at(-1);
  if (told === undefined) return 'it said nothing';
  return messageOf(told).replace(/^parallax: /, '');
}

function messageOf(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const { msg, err } = JSON.parse(line) as { msg?: unknown; err?: { message?: unknown } };
    const parts = [msg, err?.message].filter((part) => typeof part === 'string');
    return parts.length > 0 ? [...new Set(parts)].join(': ') : line;
  } catch {
    return line;
  }
}
