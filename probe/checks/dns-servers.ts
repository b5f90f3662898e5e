import { type Failure, failure } from '../../shared/failure.ts';
import type { TargetPolicy } from '../policy/target-policy.ts';
import type { Attempt } from './attempt.ts';
import type { AskDeps } from './dns-ask.ts';
import type { DnsPlace } from './dns-datagram.ts';
import type { DnsPlan } from './dns-plan.ts';
import { type ReachDeps, refusedName } from './reach.ts';

export interface ServerDeps extends ReachDeps, AskDeps {
  /** The resolvers that the probe's owner has set: asked wherever they lie, as for every other check. */
  readonly machineServers: () => readonly DnsPlace[];
}

/** Servers found, and what asking them needs. */
export interface Servers {
  readonly places: readonly DnsPlace[];
  readonly deps: AskDeps;
}

/** Who is asked: the server that the URL names, within the policy, or the machine's resolvers. */
export async function findServers(
  { place }: DnsPlan,
  attempt: Attempt,
  deps: ServerDeps,
): Promise<Servers | Failure> {
  if (!place) {
    const places = deps.machineServers();
    if (places.length > 0) return { places, deps: { ...deps, policy: ownersOwn } };
    return failure('probe.unable', 'this machine has no resolver: name a server, dns://server/name');
  }
  const refused = refusedName(place, deps);
  if (refused) return refused;
  const { host, port, ipFamily, resolveTo } = place;
  const addresses = resolveTo === null ? await deps.resolver.resolve(host, ipFamily, attempt) : [resolveTo];
  if ('code' in addresses) return addresses;
  const places = vetAll(addresses, port, deps.policy);
  return 'code' in places ? places : { places, deps };
}

const ownersOwn: TargetPolicy = { allowProxy: false, refuseAddress: () => null, refuseHost: () => null };

/** What the policy refuses is left out; where nothing remains the check is blocked. */
export function vetAll(
  addresses: readonly string[],
  port: number,
  policy: TargetPolicy,
): readonly DnsPlace[] | Failure {
  const refusals = addresses.map((address) => policy.refuseAddress(address, port));
  const places = addresses
    .filter((_, index) => refusals[index] === null)
    .map((address) => ({ address, port }));
  if (places.length > 0) return places;
  return failure('policy.blocked', refusals.find((refusal) => refusal !== null) ?? 'no address to ask');
}
