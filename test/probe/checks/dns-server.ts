import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

/** What a name has: addresses by kind of record, a response code, or silence. */
export type Zone = (
  name: string,
  type: 'A' | 'AAAA',
) => readonly string[] | 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED' | 'silence';

export interface DnsServer {
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** `A shop.test` for each question, in order. */
  readonly asked: string[];
  close(): Promise<void>;
}

const codes = { NXDOMAIN: 3, SERVFAIL: 2, REFUSED: 5 } as const;

/** A DNS server of a few lines: one question, one answer, no recursion. */
export async function startDnsServer(
  zone: Zone,
  slowMs: (name: string, type: 'A' | 'AAAA') => number = () => 0,
  at: { readonly host: string; readonly port: number } = { host: '127.0.0.1', port: 0 },
): Promise<DnsServer> {
  const socket: Socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (query, from) => {
    const { name, end } = readName(query);
    const type = query.readUInt16BE(end) === 28 ? 'AAAA' : 'A';
    asked.push(`${type} ${name}`);
    const found = zone(name.toLowerCase(), type);
    if (found === 'silence') return;
    const records = typeof found === 'string' ? [] : found.map((address) => record(address, type));
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180 | (typeof found === 'string' ? codes[found] : 0), 2);
    head.writeUInt16BE(records.length, 6);
    head.writeUInt16BE(0, 10);
    const answer = Buffer.concat([head, query.subarray(12, end + 4), ...records]);
    const send = () => socket.send(answer, from.port, from.address);
    const ms = slowMs(name.toLowerCase(), type);
    if (ms > 0) setTimeout(send, ms);
    else send();
  });
  socket.bind(at.port, at.host);
  await once(socket, 'listening');
  return {
    address: `${at.host}:${(socket.address() as AddressInfo).port}`,
    asked,
    async close() {
      socket.close();
      await once(socket, 'close');
    },
  };
}

function readName(query: Buffer): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.'), end: at + 1 };
}

function record(address: string, type: 'A' | 'AAAA'): Buffer {
  const data = type === 'A' ? Buffer.from(address.split('.').map(Number)) : sixBytes(address);
  const head = Buffer.from('c00c000100010000003c0000', 'hex');
  head.writeUInt16BE(type === 'A' ? 1 : 28, 2);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function sixBytes(address: string): Buffer {
  const [left = '', right = ''] = address.split('::');
  const groups = (text: string) => text.split(':').filter((group) => group !== '');
  const fill = Array<string>(8 - groups(left).length - groups(right).length).fill('0');
  const all = address.includes('::') ? [...groups(left), ...fill, ...groups(right)] : groups(left);
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
