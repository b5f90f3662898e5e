// The embedded PostgreSQL for a demonstration: prints its address, lives until SIGTERM.
import { startEmbeddedPostgres } from '../../hub/store/embedded/start.ts';

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());
const [dataDir = ''] = process.argv.slice(2);
const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined, signal: stopping.signal });
console.log(postgres.url);
await new Promise<void>((done) => stopping.signal.addEventListener('abort', () => done(), { once: true }));
await postgres.stop();
