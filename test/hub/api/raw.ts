import { connect } from 'node:net';

/** Sends bytes as they are and gives what came back until the other side closed, or `withinMs` passed. */
export function sendRaw(
  port: number,
  parts: readonly string[],
  { everyMs = 0, withinMs = 20_000 } = {},
): Promise<{ text: string; closed: boolean; afterMs: number }> {
  const beganMs = performance.now();
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    let timer: NodeJS.Timeout | undefined;
    const end = (closed: boolean) => {
      clearTimeout(timer);
      clearTimeout(late);
      socket.destroy();
      done({ text, closed, afterMs: performance.now() - beganMs });
    };
    const late = setTimeout(() => end(false), withinMs);
    const left = [...parts];
    const write = () => {
      const part = left.shift();
      if (part === undefined || socket.destroyed) return;
      socket.write(part);
      timer = setTimeout(write, everyMs);
    };
    socket.on('connect', write);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => end(true));
  });
}

export function statusOf(text: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
}

export function bodyOf(text: string): { code?: string; status?: number } {
  return JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)) as { code?: string; status?: number };
}
