import * as z from 'zod';
import type { EncodedAssignment } from '../../shared/assignment.ts';
import { type Endpoint, protocolOfUrl, sealedMark, timeoutOf } from '../../shared/endpoint.ts';
import { isShownHeader } from '../../shared/evidence.ts';
import type { ProtocolRules } from '../../shared/protocol-rules.ts';
import { type ProtocolName, protocols } from '../../shared/protocols.ts';
import type { TrustedEndpoint } from './catalog.ts';

export type { EncodedAssignment };

/**
 * An endpoint as its probes receive it: without what only the hub decides by, and without what has its default, which
 * the probe knows. So a probe that is older than a field reads all endpoints that do not use it: the first ones refuse
 * what they do not know. `revealed`: with its secrets in clear.
 */
export function assignmentOf(
  trusted: Omit<TrustedEndpoint, 'deleted'>,
  revealed: Endpoint,
): EncodedAssignment {
  const { name, url, interval, replicas, retries, robots, request, expect } = revealed;
  const protocol = protocolOfUrl(url) ?? 'http';
  const evidence = evidenceOf(trusted.endpoint);
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
    ...(evidence && { evidence }),
    request: written(protocol, 'request', request),
    expect: written(protocol, 'expect', expect),
  };
}

/** Endpoints share what is the same in them (decode-endpoint.ts): it is written once for all. */
const writtenOnce = new WeakMap<object, unknown>();

function written(protocol: ProtocolName, part: 'request' | 'expect', value: object): unknown {
  let found = writtenOnce.get(value);
  if (found === undefined) {
    const rules: ProtocolRules = protocols[protocol];
    found = withoutDefaults(z.encode(rules[part], value), defaultsOf(protocol)[part]);
    writtenOnce.set(value, found);
  }
  return found;
}

/** Of headers that evidence shows those whose values are sealed all the same: the probe gets them in clear. */
function evidenceOf({ evidence: { body, trace }, request }: Endpoint): EncodedAssignment['evidence'] {
  const { headers = {}, metadata = {} } = request as {
    headers?: Record<string, string>;
    metadata?: Record<string, string>;
  };
  const sealed = [...Object.entries(headers), ...Object.entries(metadata)]
    .filter(([name, value]) => value === sealedMark && isShownHeader(name.toLowerCase()))
    .map(([name]) => name.toLowerCase());
  if (!body && !trace && sealed.length === 0) return undefined;
  return { body, trace, sealed };
}

interface Defaults {
  readonly request: unknown;
  readonly expect: unknown;
}
const known = new Map<ProtocolName, Defaults>();

function defaultsOf(protocol: ProtocolName): Defaults {
  let found = known.get(protocol);
  if (!found) {
    const { request, expect }: ProtocolRules = protocols[protocol];
    found = {
      request: z.encode(request, request.parse({})),
      expect: z.encode(expect, expect.parse({})),
    };
    known.set(protocol, found);
  }
  return found;
}

/** Lists are whole or, where they are the default, not there. */
function withoutDefaults(encoded: unknown, defaults: unknown): unknown {
  if (!isMapping(encoded) || !isMapping(defaults)) return encoded;
  const kept: [string, unknown][] = [];
  for (const [key, value] of Object.entries(encoded)) {
    const usual = defaults[key];
    if (value === usual) continue;
    if (isMapping(value) && isMapping(usual)) {
      const inner = withoutDefaults(value, usual);
      if (Object.keys(inner as object).length > 0) kept.push([key, inner]);
    } else if (!Array.isArray(value) || JSON.stringify(value) !== JSON.stringify(usual)) {
      kept.push([key, value]);
    }
  }
  return Object.fromEntries(kept);
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** Whether the region's probes shall check it. */
export function isCheckedFrom({ endpoint, deleted }: TrustedEndpoint, regionName: string): boolean {
  return (
    !deleted && endpoint.enabled && (endpoint.regions.length === 0 || endpoint.regions.includes(regionName))
  );
}
