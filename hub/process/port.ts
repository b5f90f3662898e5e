import { createServer } from 'node:net';

/** Whether a server could listen on 127.0.0.1 at this port now. */
export function portIsFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}

/** Below what Linux, macOS and Windows give out by themselves (from 32768 or 49152 on). */
const [lowest, highest] = [10_240, 32_767];
const tries = 50;

/**
 * A port of 127.0.0.1 that is free. Whoever asked for it takes it some time later: were it one that the system gives
 * out, another program's connection or listener could have it by then (seen among tests that ran side by side).
 */
export async function freePort(): Promise<number> {
  for (let count = 0; count < tries; count += 1) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest + 1));
    if (await portIsFree(port)) return port;
  }
  throw new Error(`no free port of 127.0.0.1 was found from ${lowest} to ${highest}`);
}
