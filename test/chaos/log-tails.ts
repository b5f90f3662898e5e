import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const shown = 4;

/** The last warnings and errors of each log in a network's folder, for people. */
export async function logTails(folder: string): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await readdir(folder)).filter((each) => each.endsWith('.log')).sort()) {
    const text = await readFile(join(folder, name), 'utf8').catch(() => '');
    const bad = text.split('\n').filter((line) => /"level":"(warn|error|fatal)"|^(Error|\s+at )/.test(line));
    for (const line of bad.slice(-shown)) lines.push(`${name}: ${line.slice(0, 300)}`);
  }
  return lines;
}
