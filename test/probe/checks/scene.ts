import type { Checker } from '../../../probe/checks/check.ts';
import { type CheckerOptions, createChecker } from '../../../probe/checks/registry.ts';
import { createTargetPolicy, type TargetPolicy } from '../../../probe/policy/target-policy.ts';
import { type Assignment, assignmentSchema } from '../../../shared/assignment.ts';
import { parseNetworkRule } from '../../../shared/network-rule.ts';
import type { Observation } from '../../../shared/result.ts';

export interface Wish {
  readonly timeoutMs?: number;
  readonly robots?: 'ignore' | 'respect';
  readonly request?: object;
  readonly expect?: object;
}

export const hubOrigin = 'https://hub.parallax.test:8443';

export function policyOf(...networks: readonly string[]): TargetPolicy {
  return createTargetPolicy({
    allowNetworks: networks.map(parseNetworkRule),
    allowProxy: false,
    hubOrigins: [hubOrigin],
  });
}

/** A checker that may reach this machine. */
export function startChecker(over: Partial<CheckerOptions> = {}): Promise<Checker> {
  return createChecker({
    policy: policyOf('127.0.0.0/8', '::1'),
    env: { SECRET: 's3cret', PARALLAX_TOKEN: 'own' },
    version: '0.0.0',
    ...over,
  });
}

export function assignmentOf(
  url: string,
  { timeoutMs = 2000, robots = 'ignore', request, expect }: Wish = {},
): Assignment {
  return assignmentSchema.parse({
    id: 1,
    rev: 1,
    name: 'target',
    url,
    intervalMs: 60_000,
    timeoutMs,
    replicas: 1,
    retries: { count: 0, delayMs: 0 },
    robots,
    changedAt: 0,
    request: request ?? {},
    expect: expect ?? {},
  });
}

const running = new AbortController().signal;

export function checkOnce(checker: Checker, url: string, wish: Wish = {}): Promise<Observation> {
  return checker.check(assignmentOf(url, wish), running);
}
