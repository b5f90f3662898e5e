import { setTimeout as wait } from 'node:timers/promises';

/** Resolves when it holds; throws when it has not come to pass in time. */
export async function until(holds: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`${timeoutMs} ms went by, and still not: ${holds}`);
    await wait(10);
  }
}
