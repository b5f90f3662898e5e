/** Long work in slices: each `await breathe()` lets the rest of the process run where this slice is used up. */
export function createBreather(sliceMs = 5): () => Promise<void> {
  let sinceMs = performance.now();
  return async () => {
    if (performance.now() - sinceMs < sliceMs) return;
    await new Promise((done) => setImmediate(done));
    sinceMs = performance.now();
  };
}
