import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Listen {
  readonly host: string;
  readonly port: number;
}

/** '127.0.0.1:7070', '[::1]:7070' or ':7070'. Null where it is none of them. */
export function parseListen(text: string): Listen | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) return null;
  return { host: match[1] ?? (match[2] || '127.0.0.1'), port };
}

export function listenText({ host, port }: Listen): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Where browsers and probes of this machine find it. */
export function originOf({ host, port }: Listen): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  return `http://${listenText({ host: everywhere ? '127.0.0.1' : host, port })}`;
}

/** Throws one line where the port is taken; waits for one that an earlier, killed start is about to leave. */
export async function requirePort(listen: Listen, waitMs: number): Promise<void> {
  const until = performance.now() + waitMs;
  for (;;) {
    const problem = await tryListen(listen);
    if (problem === null) return;
    if (problem.code !== 'EADDRINUSE' || performance.now() > until) {
      throw new Error(whyNotListening(problem, listen), { cause: problem });
    }
    await sleep(200);
  }
}

/** One line that says what to do. */
export function whyNotListening(error: NodeJS.ErrnoException, at: Listen): string {
  const where = listenText(at);
  if (error.code === 'EADDRINUSE') {
    const other = listenText({ ...at, port: at.port < 65_535 ? at.port + 1 : at.port - 1 });
    return `port ${at.port} on ${at.host} is in use: stop what listens there, or choose another with --listen ${other}`;
  }
  if (error.code === 'EACCES')
    return `may not listen on ${where}: take a port above 1023, or give this user the right to`;
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') {
    return `--listen ${where}: this machine has no such address`;
  }
  return `cannot listen on ${where}: ${error.message}`;
}

function tryListen({ host, port }: Listen): Promise<NodeJS.ErrnoException | null> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => done(error));
    server.listen(port, host, () => server.close(() => done(null)));
  });
}

const onlyBus = /"missing":\[\{"what":"bus","why":"(?:[^"\\]|\\.)*(?:"\}\]|$)/;
/** Kafka may be started after the hub, and be away for long: the hub does all but take results meanwhile. */
const busPatienceMs = 20_000;

/** Resolves when the hub says that nothing is missing, or nothing but the bus for a while: false then. */
export async function untilReady(
  origin: string,
  signal: AbortSignal,
  deadlineMs = 90_000,
  patienceMs = busPatienceMs,
): Promise<boolean> {
  const until = performance.now() + deadlineMs;
  let busSinceMs: number | null = null;
  let last = 'it did not answer';
  while (performance.now() < until) {
    signal.throwIfAborted();
    const answer = await fetch(`${origin}/readyz`, { signal: AbortSignal.timeout(2000) }).catch(() => null);
    if (answer?.ok) return true;
    if (answer) last = (await answer.text()).slice(0, 300);
    busSinceMs = onlyBus.test(last) ? (busSinceMs ?? performance.now()) : null;
    if (busSinceMs !== null && performance.now() - busSinceMs > patienceMs) return false;
    await sleep(100, undefined, { signal });
  }
  throw new Error(`the hub was not ready after ${deadlineMs / 1000} s: ${last}`);
}
