import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { NetworkLook } from './judge-network.ts';
import type { LookedUp, LookUp } from './look-up.ts';

export type DnsLook = Pick<NetworkLook, 'resolver' | 'resolverWhy' | 'madeUp'> & {
  /** Of the hub's name; empty where it could not be had. */
  readonly hubAddresses: readonly string[];
};

export interface DnsLookOptions {
  readonly lookUp: LookUp;
  /** Host of the hub as it is dialled: a name or an address. */
  readonly hubHost: string;
  /** Names that were found a moment ago, for their checks. */
  readonly witnesses: readonly string[];
  /** Domains whose owner said that nothing unknown exists under them. */
  readonly canaryDomains: readonly string[];
  readonly timeoutMs: number;
  readonly label?: () => string;
}

/** A label that nobody has: 96 random bits. */
const randomLabel = () => `p${randomBytes(12).toString('hex')}`;
const mostMadeUp = 16;

/** Whether DNS here answers at all, and whether it makes up what does not exist. */
export async function lookAtDns(options: DnsLookOptions): Promise<DnsLook> {
  const { lookUp, hubHost, witnesses, canaryDomains, timeoutMs, label = randomLabel } = options;
  const look = (name: string) => lookUp(name, timeoutMs);
  const isName = isIP(hubHost.replace(/^\[|\]$/g, '')) === 0;
  const known = isName ? [hubHost, ...witnesses] : witnesses;
  // RFC 6761, section 6.4: nothing is ever under .invalid.
  const absent = ['invalid', ...canaryDomains].map((domain) => `${label()}.${domain}`);
  const [hub, names, nowhere, underHub] = await Promise.all([
    look(hubHost),
    Promise.all(known.map(look)),
    Promise.all(absent.map(look)),
    isName && hubHost.includes('.') ? look(`${label()}.${hubHost}`) : null,
  ]);
  const hubAddresses = addressesOf(hub);
  const madeUp = nowhere.flatMap(addressesOf);
  // A wildcard of the hub's own is no lie: it counts where what cannot exist beside it has the same address.
  const wild = addressesOf(underHub).filter((address) => !hubAddresses.includes(address));
  if (madeUp.length === 0 && wild.length > 0) {
    const beside = addressesOf(await look(`${label()}.${hubHost.split('.').at(-1)}`));
    madeUp.push(...beside.filter((address) => wild.includes(address)));
  }
  const asked = names.length > 0 ? names : nowhere;
  const silent = asked.find((one) => one.kind === 'silent');
  const resolver = asked.every((one) => one.kind === 'silent') ? 'silent' : 'answers';
  return {
    resolver,
    resolverWhy: resolver === 'silent' && silent?.kind === 'silent' ? silent.why : '',
    madeUp: [...new Set(madeUp)].slice(0, mostMadeUp),
    hubAddresses,
  };
}

function addressesOf(looked: LookedUp | null): readonly string[] {
  return looked?.kind === 'addresses' ? looked.addresses : [];
}
