import { parseNetworkRule } from '../../shared/network-rule.ts';
import type { Checker } from '../checks/check.ts';
import { createChecker } from '../checks/registry.ts';
import { hubTimeMs } from '../clock/shared-offset.ts';
import { createTargetPolicy } from '../policy/target-policy.ts';
import { version } from '../version.ts';

/** What a checker is made of, in a form that a worker thread can be given. */
export interface CheckerTerms {
  /** `CIDR[:port]`. */
  readonly allowNetworks: readonly string[];
  readonly allowProxy: boolean;
  readonly hubOrigins: readonly string[];
  /** Whom the owners of targets may ask, for the User-Agent. */
  readonly contact?: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** As `SharedOffset.buffer`: how wrong this machine's clock is. */
  readonly clockOffset?: SharedArrayBuffer;
}

export function makeChecker({
  allowNetworks,
  allowProxy,
  hubOrigins,
  env,
  contact,
  clockOffset,
}: CheckerTerms): Promise<Checker> {
  const networks = allowNetworks.map(parseNetworkRule);
  const policy = createTargetPolicy({ allowNetworks: networks, allowProxy, hubOrigins });
  return createChecker({
    policy,
    env,
    version,
    contact,
    ...(clockOffset && { now: hubTimeMs(clockOffset) }),
  });
}
