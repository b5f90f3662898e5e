import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/**
 * What an address is to a probe that a stranger may send somewhere:
 * `public` may be dialled, `private` where the probe's owner named it, `never` in no case.
 */
export type AddressClass =
  | { readonly kind: 'public' }
  | { readonly kind: 'private'; readonly what: string }
  | { readonly kind: 'never'; readonly what: string };

type Range = readonly [cidr: string, kind: 'private' | 'never', what: string];

/** IANA's special-purpose registries, and the addresses where clouds keep credentials. The narrower come first. */
const ranges: readonly Range[] = [
  // Metadata services of clouds, also where they lie inside ranges that an owner may open.
  ['169.254.0.0/16', 'never', 'a link-local address (cloud metadata lies there)'],
  ['100.100.100.200/32', 'never', 'a cloud metadata address'],
  ['192.0.0.192/32', 'never', 'a cloud metadata address'],
  ['168.63.129.16/32', 'never', 'a cloud metadata address'],
  ['fd00:ec2::/32', 'never', 'a cloud metadata address'],
  ['fd20:ce::254/128', 'never', 'a cloud metadata address'],
  ['0.0.0.0/8', 'never', 'an unspecified address'],
  ['224.0.0.0/4', 'never', 'a multicast address'],
  ['240.0.0.0/4', 'never', 'a reserved or broadcast address'],
  ['127.0.0.0/8', 'private', 'a loopback address'],
  ['10.0.0.0/8', 'private', 'a private address'],
  ['172.16.0.0/12', 'private', 'a private address'],
  ['192.168.0.0/16', 'private', 'a private address'],
  ['100.64.0.0/10', 'private', 'a shared address (carrier NAT)'],
  ['192.0.0.0/24', 'private', 'a protocol assignment address'],
  ['192.0.2.0/24', 'private', 'a documentation address'],
  ['198.51.100.0/24', 'private', 'a documentation address'],
  ['203.0.113.0/24', 'private', 'a documentation address'],
  ['198.18.0.0/15', 'private', 'a benchmarking address'],
  ['192.88.99.0/24', 'private', 'a 6to4 relay address'],
  ['::/128', 'never', 'an unspecified address'],
  ['::1/128', 'private', 'a loopback address'],
  ['fe80::/10', 'never', 'a link-local address'],
  ['ff00::/8', 'never', 'a multicast address'],
  ['fc00::/7', 'private', 'a private address'],
  ['fec0::/10', 'private', 'a site-local address'],
  ['64:ff9b:1::/48', 'private', 'a local translation address'],
  ['100::/64', 'private', 'a discard address'],
  ['2001:db8::/32', 'private', 'a documentation address'],
  ['3fff::/20', 'private', 'a documentation address'],
  ['2001:2::/48', 'private', 'a benchmarking address'],
  ['5f00::/16', 'private', 'a segment routing address'],
];

const table = ranges.map(([cidr, kind, what]) => {
  const [network, prefix] = ipaddr.parseCIDR(cidr);
  return { network, prefix, found: { kind, what } satisfies AddressClass };
});

/** IPv6 forms that carry an IPv4 address, and the byte where it begins. */
const translated: readonly (readonly [cidr: string, at: readonly number[], what: string])[] = [
  ['::ffff:0:0/96', [12], 'IPv4-mapped'],
  ['::ffff:0:0:0/96', [12], 'IPv4-translated (SIIT)'],
  ['::/96', [12], 'IPv4-compatible'],
  ['64:ff9b::/96', [12], 'NAT64'],
  ['2002::/16', [2], '6to4'],
  // Teredo: the server's address, and the client's with every bit turned (RFC 4380, section 4).
  ['2001::/32', [4, 12], 'Teredo'],
];

const translatedTable = translated.map(([cidr, at, what]) => {
  const [network, prefix] = ipaddr.parseCIDR(cidr);
  return { network, prefix, at, what };
});

/**
 * A translated form of an address that is not public is never dialled, whatever the owner opened:
 * who means 10.0.0.1 can write 10.0.0.1.
 */
export function classifyAddress(address: Address): AddressClass {
  for (const { network, prefix, found } of table) {
    if (network.kind() === address.kind() && address.match(network, prefix)) return found;
  }
  if (address.kind() === 'ipv4') return { kind: 'public' };
  for (const { network, prefix, at, what } of translatedTable) {
    if (!address.match(network, prefix)) continue;
    for (const start of at) {
      const bytes = address.toByteArray().slice(start, start + 4);
      const turned = what === 'Teredo' && start === 12 ? bytes.map((byte) => byte ^ 0xff) : bytes;
      const inner = classifyAddress(new ipaddr.IPv4(turned));
      if (inner.kind !== 'public') return { kind: 'never', what: `the ${what} form of ${inner.what}` };
    }
    return { kind: 'public' };
  }
  return { kind: 'public' };
}
