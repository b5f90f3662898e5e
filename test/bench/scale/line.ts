import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** Bytes on the wire, head and body. */
  readonly bytes: number;
}

/** One connection that is kept, one request at a time: what thousands of simulated probes cost must not hide what the hub costs. */
export interface Line {
  ask(head: string, body: string, timeoutMs: number): Promise<Answer>;
  close(): void;
}

export interface LineTarget {
  readonly host: string;
  readonly port: number;
  /** A local address of loopback: each has ports of its own. */
  readonly from: string;
}

/** Connects at the first request, and again after whatever went wrong. Rejects with the socket's error. */
export function openLine(target: () => LineTarget): Line {
  let socket: Socket | null = null;
  let parts: Buffer[] = [];
  let size = 0;
  let waiting: { done: (answer: Answer) => void; failed: (error: Error) => void } | null = null;

  function fail(error: Error): void {
    socket?.destroy();
    socket = null;
    parts = [];
    size = 0;
    const asked = waiting;
    waiting = null;
    asked?.failed(error);
  }

  function dial(): Socket {
    const { host, port, from } = target();
    const dialled = connect({ host, port, localAddress: from, noDelay: true });
    dialled.on('data', (chunk) => {
      parts.push(chunk);
      size += chunk.length;
      const answer = readAnswer(parts, size);
      if (!answer) return;
      parts = [];
      size = 0;
      const asked = waiting;
      waiting = null;
      asked?.done(answer);
    });
    dialled.on('error', (error) => socket === dialled && fail(error));
    dialled.on('close', () => socket === dialled && fail(new Error('closed')));
    return dialled;
  }

  return {
    async ask(head, body, timeoutMs) {
      socket ??= dial();
      const { promise, resolve, reject } = Promise.withResolvers<Answer>();
      waiting = { done: resolve, failed: reject };
      socket.write(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      const timer = setTimeout(() => fail(new Error('timeout')), timeoutMs);
      return promise.finally(() => clearTimeout(timer));
    },
    close() {
      const before = socket;
      socket = null;
      before?.destroy();
    },
  };
}

/** Null while it is not whole. The hub names the length of all that is asked for here, or sends chunks. */
function readAnswer(parts: Buffer[], size: number): Answer | null {
  const all = parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts, size);
  if (parts.length > 1) parts.splice(0, parts.length, all);
  const end = all.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [first = '', ...lines] = all.subarray(0, end).toString('latin1').split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()] as const;
    }),
  );
  const body = readBody(all.subarray(end + 4), headers);
  return body && { status: Number(first.slice(9, 12)), headers, body, bytes: size };
}

function readBody(rest: Buffer, headers: ReadonlyMap<string, string>): Buffer | null {
  if (headers.get('transfer-encoding') !== 'chunked') {
    const length = Number(headers.get('content-length') ?? 0);
    return rest.length < length ? null : rest.subarray(0, length);
  }
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = rest.indexOf('\r\n', at);
    if (lineEnd < 0) return null;
    const length = Number.parseInt(rest.toString('latin1', at, lineEnd), 16);
    const from = lineEnd + 2;
    if (rest.length < from + length + 2) return null;
    if (length === 0) return Buffer.concat(chunks);
    chunks.push(rest.subarray(from, from + length));
    at = from + length + 2;
  }
}
