import ipaddr from 'ipaddr.js';
import { type NetworkRule, ruleCovers } from '../../shared/network-rule.ts';
import { classifyAddress } from './address-class.ts';

export interface TargetPolicyOptions {
  /** What the probe's owner opened with `--allow-network`. */
  readonly allowNetworks: readonly NetworkRule[];
  readonly allowProxy: boolean;
  /** Origins of the hub this probe belongs to: never a target. */
  readonly hubOrigins: readonly string[];
}

/**
 * Where this probe may connect to. Decided here, by its owner; nothing the hub says can widen it.
 * Each function answers null where the policy agrees, else why not.
 */
export interface TargetPolicy {
  readonly allowProxy: boolean;
  /** `address` is an IP literal without brackets, exactly as it would be dialled. `port` null: ICMP, which has none. */
  refuseAddress(address: string, port: number | null): string | null;
  /** `host` as a URL has it (brackets and trailing dot welcome). Also asked for a Host header and an SNI name. */
  refuseHost(host: string, port: number | null): string | null;
}

/** A probe's targets hardly change from check to check: their verdicts are remembered, this many of them. */
const rememberedMost = 10_000;

export function createTargetPolicy(options: TargetPolicyOptions): TargetPolicy {
  const hubs = options.hubOrigins.flatMap(hubPlaces);
  const remembered = new Map<string, string | null>();
  const decide = (text: string, port: number | null): string | null => {
    if (port !== null && (port < 1 || port > 65_535)) return `port ${port} is no port`;
    if (text.includes('%')) return `${text} has a zone: link-local addresses are never checked`;
    if (!ipaddr.isValid(text)) return `${text} is not an address`;
    // An address that names a public IPv4 host in IPv4-mapped form is that host.
    const parsed = ipaddr.parse(text);
    const found = classifyAddress(parsed);
    const address = found.kind === 'public' ? ipaddr.process(text) : parsed;
    if (found.kind === 'never') return `${text} is ${found.what}: that is never checked`;
    const isLoopback = address.range() === 'loopback';
    if (
      hubs.some((hub) => hub.port === port && (hub.host === address.toString() || (hub.local && isLoopback)))
    )
      return ownHub;
    const open = options.allowNetworks.some((rule) => ruleCovers(rule, address, port));
    if (open) return null;
    if (found.kind === 'private')
      return `${text} is ${found.what}: this probe checks it only with --allow-network ${text}`;
    if (port === 25) return `port 25 is checked only with --allow-network ${text}:25`;
    return null;
  };
  const remember = (key: string, ask: () => string | null): string | null => {
    let verdict = remembered.get(key);
    if (verdict === undefined) {
      verdict = ask();
      if (remembered.size >= rememberedMost) remembered.clear();
      remembered.set(key, verdict);
    }
    return verdict;
  };
  return {
    allowProxy: options.allowProxy,
    refuseAddress: (address, port) => remember(`a ${address} ${port}`, () => decide(address, port)),
    refuseHost(host, port) {
      return remember(`h ${host} ${port}`, () => {
        const name = bareHost(host);
        return hubs.some((hub) => hub.port === port && hub.host === name) ? ownHub : null;
      });
    },
  };
}

const ownHub = "this is the probe's own hub: it is never a target";

interface Place {
  readonly host: string;
  readonly port: number;
  /** On this machine. */
  readonly local: boolean;
}

/** A hub on `localhost` is also one on every loopback address of that port. */
function hubPlaces(origin: string): readonly Place[] {
  const url = new URL(origin);
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const host = bareHost(url.hostname);
  const names = ['localhost', '127.0.0.1', '::1'];
  const local = names.includes(host) || /^127\./.test(host) || host.endsWith('.localhost');
  return (local ? [host, ...names] : [host]).map((each) => ({ host: each, port, local }));
}

/** Lower case, no brackets, no trailing dot, IPv6 in its shortest form. */
function bareHost(host: string): string {
  const bare = host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
  return ipaddr.isValid(bare) && bare.includes(':') ? ipaddr.parse(bare).toString() : bare;
}
