import type { Socket } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Attempt } from './attempt.ts';
import { type DialDeps, dial } from './dial.ts';
import type { Tried } from './race.ts';
import { type IpFamily, type NameResolver, newLateAddresses } from './resolve.ts';

export interface ReachDeps extends DialDeps {
  readonly resolver: NameResolver;
}

/** Where a check connects to. */
export interface Place {
  /** A name, or an address; IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
  readonly ipFamily: IpFamily;
  /** In place of what DNS says. */
  readonly resolveTo: string | null;
  /** Other names that the endpoint calls its target by (Host, SNI), without a port. */
  readonly otherNames: readonly string[];
}

/**
 * Names vetted, resolved once, addresses vetted, dialled: a connection within the policy, or why there is none. `tried`
 * is filled with what was dialled, for whoever wants to tell of it.
 */
export async function reach(
  place: Place,
  attempt: Attempt,
  deps: ReachDeps,
  tried: Tried[] = [],
): Promise<Socket | Failure> {
  const refused = refusedName(place, deps);
  if (refused) return refused;
  const { host, port, ipFamily, resolveTo } = place;
  if (resolveTo !== null) return dial([resolveTo], port, attempt, deps, { tried });
  const late = newLateAddresses();
  const addresses = await deps.resolver.resolve(host, ipFamily, attempt, { late });
  return 'code' in addresses ? addresses : dial(addresses, port, attempt, deps, { late, tried });
}

export function refusedName(
  { host, port, otherNames }: Pick<Place, 'host' | 'otherNames'> & { readonly port: number | null },
  { policy }: Pick<ReachDeps, 'policy'>,
): Failure | null {
  for (const name of [host, ...otherNames]) {
    const refused = policy.refuseHost(name, port);
    if (refused !== null) return failure('policy.blocked', refused);
  }
  return null;
}
