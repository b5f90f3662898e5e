import * as z from 'zod';
import type { EncodedAssignment } from '../../shared/assignment.ts';
import { type Endpoint, protocolOfUrl, timeoutOf } from '../../shared/endpoint.ts';
import type { ProtocolRules } from '../../shared/protocol-rules.ts';
import { protocols } from '../../shared/protocols.ts';
import type { TrustedEndpoint } from './catalog.ts';

export type { EncodedAssignment };

/** An endpoint as its probes receive it: without what only the hub decides by. `revealed`: with its secrets in clear. */
export function assignmentOf(trusted: TrustedEndpoint, revealed: Endpoint): EncodedAssignment {
  const { name, url, interval, replicas, retries, robots, request, expect } = revealed;
  const rules: ProtocolRules = protocols[protocolOfUrl(url) ?? 'http'];
  return {
    id: trusted.id,
    rev: trusted.rev,
    name,
    url,
    intervalMs: interval,
    timeoutMs: timeoutOf(revealed),
    replicas,
    retries: { count: retries.count, delayMs: retries.delay },
    robots,
    changedAt: trusted.changedAtUs,
    request: z.encode(rules.request, request),
    expect: z.encode(rules.expect, expect),
  };
}

/** Whether the region's probes shall check it. */
export function isCheckedFrom({ endpoint, deleted }: TrustedEndpoint, regionName: string): boolean {
  return (
    !deleted && endpoint.enabled && (endpoint.regions.length === 0 || endpoint.regions.includes(regionName))
  );
}
