/**
 * Many who ask for a look share it. What is asked for while one is under way may be too late for it: then there is one
 * more, for all who ask, whatever became of the one before.
 */
export function oneLook(look: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  return function ask(): Promise<void> {
    if (!running) {
      running = look().finally(() => {
        running = null;
      });
      return running;
    }
    next ??= running
      .catch(() => undefined)
      .then(() => {
        next = null;
        return ask();
      });
    return next;
  };
}
