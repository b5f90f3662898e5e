import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import type { Reached } from './judge-network.ts';
import { reachTcp } from './reach-tcp.ts';

/** A port that hardly any router serves, and that is as good as any: its refusal is an answer. */
const port = 53;

/** The default gateway of IPv4 by /proc/net/route; null where there is none or this is no Linux. */
export async function defaultGateway(file = '/proc/net/route'): Promise<string | null> {
  const text = await readFile(file, 'utf8').catch(() => '');
  for (const line of text.split('\n').slice(1)) {
    const [, destination, gateway = '', flags = '', , , , mask] = line.split('\t');
    const isUp = (Number.parseInt(flags, 16) & 3) === 3;
    if (destination === '00000000' && mask === '00000000' && isUp) return fromHex(gateway);
  }
  return null;
}

/** Little-endian, as the kernel writes it on the machines that we know. */
function fromHex(hex: string): string {
  return [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join('.');
}

/**
 * Whether the gateway is there. Many answer neither ping nor TCP, but none can hide from ARP: the kernel says
 * EHOSTUNREACH, or keeps the entry incomplete, where nobody has that address. Null where it cannot be told.
 */
export async function askGateway(gateway: string, timeoutMs: number): Promise<Reached | null> {
  await nudge(gateway);
  const reached = await reachTcp(gateway, port, timeoutMs);
  if (reached.reached !== 'silent') return 'answered';
  if (reached.unreachable) return 'silent';
  const complete = await arpComplete(gateway);
  return complete === null ? null : complete ? null : 'silent';
}

/** Makes the kernel look for it. */
function nudge(gateway: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const done = () => {
      socket.close();
      resolve();
    };
    socket.on('error', () => undefined);
    socket.send(Buffer.alloc(1), 9, gateway, done);
  });
}

/** Null where there is no entry. */
async function arpComplete(address: string): Promise<boolean | null> {
  const text = await readFile('/proc/net/arp', 'utf8').catch(() => '');
  for (const line of text.split('\n').slice(1)) {
    const [ip, , flags = ''] = line.trim().split(/\s+/);
    if (ip === address) return (Number.parseInt(flags, 16) & 2) === 2;
  }
  return null;
}
