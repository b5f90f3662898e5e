import { isIP } from 'node:net';
import type { Assignment } from '../../shared/assignment.ts';
import { failure } from '../../shared/failure.ts';
import type { Result } from '../../shared/result.ts';
import { isThisMachine } from '../checks/resolve.ts';
import { labelOf, type NetworkView, type Suspicious } from './judge-network.ts';
import { scopeOf } from './scope.ts';

/** A result as far as the network has to do with it. */
export function suspiciousOf(
  { outcome, failure: why, remoteIp }: Result,
  assignment: Assignment | undefined,
  networks: readonly string[],
): Suspicious {
  const url = assignment ? URL.parse(assignment.url) : null;
  const host = (url?.hostname ?? '').replace(/^\[|\]$/g, '');
  const { resolveTo } = (assignment?.request ?? {}) as { readonly resolveTo?: string };
  const address = remoteIp ?? resolveTo ?? (isIP(host) ? host : null);
  return {
    outcome: outcome === 'skipped' ? 'down' : outcome,
    code: why?.code ?? null,
    remoteIp,
    scope: scopeOf(address ?? '', networks),
    named: resolveTo === undefined && host !== '' && isIP(host) === 0 && !isThisMachine(host),
    proven: isProven(url, assignment),
  };
}

/** Encrypted, and the certificate looked at. */
function isProven(url: URL | null, assignment: Assignment | undefined): boolean {
  const { tls } = (assignment?.request ?? {}) as { readonly tls?: { readonly verify?: boolean } };
  return /^(https|wss|grpcs|tls):$/.test(url?.protocol ?? '') && tls?.verify !== false;
}

/** The result as it is worth in such a network; itself where nothing is to be said against it. */
export function relabelled(result: Result, seen: Suspicious, view: NetworkView): Result {
  const label = labelOf(seen, view);
  if (label.kind === 'keep') return result;
  if (label.kind === 'suspect') return { ...result, suspect: true };
  const ended = result.failure ? `; it ended in ${result.failure.code}` : '';
  return {
    ...result,
    outcome: 'skipped',
    failure: failure('probe.network', `${label.why}${ended}`),
    firstFailure: result.failure?.code ?? result.firstFailure,
    suspect: false,
    evidence: null,
  };
}
