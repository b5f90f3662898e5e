import type { Socket } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Attempt } from './attempt.ts';
import { type DialDeps, dial } from './dial.ts';
import type { IpFamily, NameResolver } from './resolve.ts';

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

/** Names vetted, resolved once, addresses vetted, dialled: a connection within the policy, or why there is none. */
export async function reach(place: Place, attempt: Attempt, deps: ReachDeps): Promise<Socket | Failure> {
  const refused = refusedName(place, deps);
  if (refused) return refused;
  const { host, port, ipFamily, resolveTo } = place;
  const addresses = resolveTo === null ? await deps.resolver.resolve(host, ipFamily, attempt) : [resolveTo];
  return 'code' in addresses ? addresses : dial(addresses, port, attempt, deps);
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
