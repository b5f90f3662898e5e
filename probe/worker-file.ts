/** What a worker thread is started from: the probe's bundle, which is its own worker, or beside the sources worker.ts. */
export const workerFile = import.meta.url.endsWith('.ts')
  ? new URL('./worker.ts', import.meta.url)
  : new URL(import.meta.url);

/** `workerData` of every worker thread of a probe: the role decides what it runs (worker.ts). */
export interface WorkerData {
  readonly role: 'check' | 'pattern';
}
