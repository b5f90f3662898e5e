import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';

/** RFC 9113, section 6. */
export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
  altsvc: 10,
} as const;
export type FrameType = keyof typeof frameTypes;

export const endStream = 1;
export const ack = 1;
export const endHeaders = 4;

export function frame(
  type: FrameType | number,
  flags = 0,
  stream = 0,
  payload: Buffer | string = '',
): Buffer {
  const bytes = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(bytes.length, 0, 3);
  head.writeUInt8(typeof type === 'number' ? type : frameTypes[type], 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, bytes]);
}

export function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, 4 * at);
  return bytes;
}

/** One field as HPACK has it without a table and without Huffman (RFC 7541, section 6.2.2); up to 16 KiB each. */
export function field(name: string, value: string): Buffer {
  const text = (of: string) => {
    const bytes = Buffer.from(of, 'latin1');
    if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
    const rest = bytes.length - 127;
    const length = rest < 128 ? [127, rest] : [127, (rest & 127) | 128, rest >> 7];
    return Buffer.concat([Buffer.from(length), bytes]);
  };
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

/** `:status: 200` from the static table. */
export const status200 = Buffer.from([0x88]);

/** Writes whatever it likes as soon as the request's HEADERS came; `opened` before anything came. */
export interface Liar {
  readonly opened?: (socket: TLSSocket) => void;
  readonly asked?: (socket: TLSSocket) => void;
}

export interface LiarServer {
  readonly url: string;
  close(): Promise<void>;
}

const preface = 24;

/** Speaks TLS and the first SETTINGS of HTTP/2 as it should, and then frames of the test's own. */
export async function startHttp2Liar(
  pair: { readonly cert: string; readonly key: string },
  { opened, asked }: Liar,
): Promise<LiarServer> {
  const open = new Set<TLSSocket>();
  const server = createServer({ ...pair, ALPNProtocols: ['h2'] }, (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => undefined);
    if (opened) opened(socket);
    else socket.write(frame('settings'));
    let bytes = Buffer.alloc(0);
    let told = false;
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      let at = preface;
      while (bytes.length >= at + 9) {
        const length = bytes.readUIntBE(at, 3);
        if (!told && bytes[at + 3] === frameTypes.headers) {
          told = true;
          asked?.(socket);
        }
        at += 9 + length;
      }
    });
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async close() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
