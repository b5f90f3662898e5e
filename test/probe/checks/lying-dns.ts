import { createSocket, type Socket as Datagrams, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import * as dnsPacket from 'dns-packet';

/** One question as it came over UDP. `send` answers it, as whoever. */
export interface AskedDatagram {
  readonly query: Buffer;
  readonly from: RemoteInfo;
  send(bytes: Buffer): void;
}

/** What a server does; what is left out is silence. */
export interface DnsLies {
  readonly datagram?: (asked: AskedDatagram) => void;
  /** A whole message that came over TCP or TLS. */
  readonly stream?: (query: Buffer, socket: Socket) => void;
}

export interface LyingDns {
  readonly port: number;
  /** `udp shop.test A` for each question, oldest first; names in lower case. */
  readonly asked: string[];
  close(): Promise<void>;
}

/** A server that answers with bytes of the test's own, over UDP and TCP (or TLS) on one port of loopback. */
export async function startLyingDns(lies: () => DnsLies, tls?: TlsOptions): Promise<LyingDns> {
  const asked: string[] = [];
  const open = new Set<Socket>();
  const serve = (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => undefined);
    let held = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      held = Buffer.concat([held, chunk]);
      if (held.length < 2 || held.length < 2 + held.readUInt16BE(0)) return;
      const query = held.subarray(2, 2 + held.readUInt16BE(0));
      held = Buffer.alloc(0);
      asked.push(`${tls ? 'tls' : 'tcp'} ${askedText(query)}`);
      lies().stream?.(query, socket);
    });
  };
  const server: Server = tls ? createTlsServer(tls, serve) : createServer(serve);
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const datagrams: Datagrams = createSocket('udp4');
  datagrams.on('message', (query, from) => {
    asked.push(`udp ${askedText(query)}`);
    lies().datagram?.({ query, from, send: (bytes) => datagrams.send(bytes, from.port, from.address) });
  });
  datagrams.bind(port, '127.0.0.1');
  await once(datagrams, 'listening');
  return {
    port,
    asked,
    async close() {
      for (const socket of open) socket.destroy();
      datagrams.close();
      server.close();
      await Promise.all([once(server, 'close'), once(datagrams, 'close')]);
    },
  };
}

function askedText(query: Buffer): string {
  const [question] = dnsPacket.decode(query).questions ?? [];
  return `${question?.name.toLowerCase()} ${question?.type}`;
}

/** A good answer to a query: its id and its question, and what `over` says. */
export function answerTo(query: Buffer, over: object = {}): Buffer {
  const { id, questions } = dnsPacket.decode(query);
  const answers = [{ name: questions?.[0]?.name ?? '', type: 'A', ttl: 300, data: '192.0.2.1' }];
  return dnsPacket.encode({ type: 'response', id, questions, answers, ...over } as dnsPacket.Packet);
}

/** With its two bytes of length, as it goes over a stream. */
export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length, 0);
  return Buffer.concat([length, message]);
}

/** The same message with other flags (RFC 1035, section 4.1.1). */
export function withFlags(message: Buffer, change: (flags: number) => number): Buffer {
  const changed = Buffer.from(message);
  changed.writeUInt16BE(change(changed.readUInt16BE(2)), 2);
  return changed;
}
