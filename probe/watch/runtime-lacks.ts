import { readFile } from 'node:fs/promises';

/** What this runtime, or what it is allowed, leaves a probe without: said once at the start (docs/runtimes.md). */
export async function runtimeLacks(): Promise<readonly string[]> {
  const lacks: string[] = [];
  if (process.platform === 'linux' && (await readFile('/proc/self/stat').catch(() => null)) === null)
    lacks.push('no /proc: after a kill the lock of the folder is waited for 5 s');
  if (process.versions.deno)
    lacks.push(
      'V8 is as it was started: --v8-flags=--max-semi-space-size=4,--optimize-for-size saves memory',
      'a UDP port where nobody listens is told as silence',
    );
  return lacks;
}
