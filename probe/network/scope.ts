import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import { classifyAddress } from '../policy/address-class.ts';

/**
 * How far out an address lies: on this machine or its own link, behind a gateway in a private network, or in the
 * internet. Whoever is reached further out proves the way to what is nearer, never the other way round: a printer that
 * answers says nothing about the uplink.
 */
export const scopes = ['local', 'private', 'public'] as const;
export type Scope = (typeof scopes)[number];

export function reachesAsFar(scope: Scope, as: Scope): boolean {
  return scopes.indexOf(scope) >= scopes.indexOf(as);
}

/** `networks`: CIDRs of this machine's own interfaces. What is not an address counts as public. */
export function scopeOf(address: string, networks: readonly string[]): Scope {
  if (!ipaddr.isValid(address)) return 'public';
  const parsed = ipaddr.process(address);
  const onLink = networks.some((cidr) => {
    const [network, prefix] = ipaddr.parseCIDR(cidr);
    return network.kind() === parsed.kind() && parsed.match(network, prefix);
  });
  if (onLink || parsed.range() === 'loopback' || parsed.range() === 'linkLocal') return 'local';
  return classifyAddress(parsed).kind === 'public' ? 'public' : 'private';
}

/** CIDRs of what this machine has a link to; a host's own /32 is no network. */
export function ownNetworks(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses.flatMap(({ cidr }) => (cidr && !/\/(32|128|0)$/.test(cidr) ? [cidr] : [])),
  );
}
