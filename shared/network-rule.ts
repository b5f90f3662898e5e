import ipaddr from 'ipaddr.js';

/** What `--allow-network CIDR[:port]` opens: a range of addresses, on one port or on all. */
export interface NetworkRule {
  readonly network: ipaddr.IPv4 | ipaddr.IPv6;
  readonly prefix: number;
  /** Null: every port. */
  readonly port: number | null;
}

const form = '10.0.0.0/8, 10.0.0.5:8080, fd00::/8:443 or [fd00::5]:443';

/** Throws an Error for the person who wrote the flag. A bare address means itself alone. */
export function parseNetworkRule(text: string): NetworkRule {
  const parts = /^(?:\[([^\]]*)\]|([^/]*?))(?:\/(\d{1,3}))?(?::(\d{1,5}))?$/.exec(
    // An IPv6 address without brackets and without a prefix has no port: its colons are its own.
    text.includes('/') || text.startsWith('[') || text.split(':').length < 3 ? text : `[${text}]`,
  );
  const address = parts?.[1] ?? parts?.[2] ?? '';
  // Written in full: 10.1 and 0x7f000001 are addresses to ipaddr.js, and slips to a reader.
  const whole = ipaddr.IPv4.isValidFourPartDecimal(address) || ipaddr.IPv6.isValid(address);
  if (!parts || !whole || address.includes('%'))
    throw new Error(`'${text}' is not a network: write it as ${form}`);
  const network = ipaddr.parse(address);
  const bits = network.kind() === 'ipv4' ? 32 : 128;
  const prefix = parts[3] === undefined ? bits : Number(parts[3]);
  if (prefix > bits) throw new Error(`'${text}': a prefix here is at most /${bits}`);
  const port = parts[4] === undefined ? null : Number(parts[4]);
  if (port !== null && (port < 1 || port > 65_535))
    throw new Error(`'${text}': a port is a number from 1 to 65535`);
  return { network, prefix, port };
}

/** `port` null: a protocol without ports (ICMP), which only a rule for every port opens. */
export function ruleCovers(
  rule: NetworkRule,
  address: ipaddr.IPv4 | ipaddr.IPv6,
  port: number | null,
): boolean {
  if (rule.port !== null && rule.port !== port) return false;
  return rule.network.kind() === address.kind() && address.match(rule.network, rule.prefix);
}
