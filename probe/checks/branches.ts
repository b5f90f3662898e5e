import type { Attempt } from './attempt.ts';

/** Several things at once within one attempt, each with what it measures for itself; the attempt's end ends them all. */
export async function branched<T, R>(
  attempt: Attempt,
  items: readonly T[],
  run: (item: T, own: Attempt) => Promise<R>,
): Promise<R[]> {
  const branches: Attempt[] = [];
  const branch = (): Attempt => ({
    ...attempt,
    interrupt: null,
    timings: { dns: null, connect: null, tls: null, wait: null, transfer: null },
    pause: () => () => undefined,
  });
  attempt.interrupt = (why) => {
    for (const own of branches) {
      own.ended ??= why;
      own.interrupt?.(why);
    }
  };
  try {
    return await Promise.all(
      items.map((item) => {
        const own = branch();
        branches.push(own);
        return run(item, own);
      }),
    );
  } finally {
    attempt.interrupt = null;
  }
}
