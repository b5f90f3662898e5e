import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

export interface Client {
  /** Without a zone, an IPv4-mapped one as IPv4. */
  readonly ip: string;
  readonly https: boolean;
  /** Whether its request came through a proxy we trust. */
  readonly proxied: boolean;
}

/**
 * Who asks: the socket's peer, or, as long as that is a proxy we trust, the last address that it wrote down. Read from
 * the right: what stands left of the first stranger may be that stranger's invention.
 */
export function clientFinder(trusted: readonly string[]) {
  const networks = trusted.map(networkOf);
  const isTrusted = (address: Address) =>
    networks.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));
  return (
    peer: string,
    header: (name: 'x-forwarded-for' | 'x-forwarded-proto') => string | undefined,
    encrypted: boolean,
  ): Client => {
    let address = addressOf(peer);
    if (!address || !isTrusted(address)) return { ip: plain(address), https: encrypted, proxied: false };
    const hops = (header('x-forwarded-for') ?? '').split(',').slice(-maxHops);
    const protocols = (header('x-forwarded-proto') ?? '').split(',').map((word) => word.trim().toLowerCase());
    let proxied = false;
    while (hops.length > 0 && isTrusted(address)) {
      const before = addressOf(hops.pop()?.trim() ?? '');
      if (!before) break;
      address = before;
      proxied = true;
    }
    const protocol = protocols.at(-1);
    return { ip: plain(address), https: protocol ? protocol === 'https' : encrypted, proxied };
  };
}

const maxHops = 20;

function networkOf(text: string): [Address, number] {
  if (text.includes('/')) {
    const [network, bits] = ipaddr.parseCIDR(text);
    return [network, bits];
  }
  const address = ipaddr.process(text);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

function addressOf(text: string): Address | null {
  // Some proxies write the port too: 203.0.113.7:4711, [2001:db8::1]:4711.
  const bare = /^\[([^\]]+)\](:\d+)?$/.exec(text)?.[1] ?? text.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1');
  return ipaddr.isValid(bare) && !/^\d+$/.test(bare) ? ipaddr.process(bare.replace(/%.*$/, '')) : null;
}

function plain(address: Address | null): string {
  return address?.toString() ?? '';
}

export function isLoopback(ip: string): boolean {
  return ipaddr.isValid(ip) && ipaddr.process(ip).range() === 'loopback';
}
