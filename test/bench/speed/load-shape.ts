import { createHash } from 'node:crypto';
import { type FailureCode, failure, outcomeOf } from '../../../shared/failure.ts';
import type { Result, TlsFacts } from '../../../shared/result.ts';

/** A steady network: every pair is checked once an interval, in the order of its phase. */
export interface LoadShape {
  readonly endpoints: number;
  readonly regions: number;
  /** Each belongs to one region and checks an equal part of its pairs. */
  readonly probes: number;
  readonly intervalUs: number;
}

/** The pairs of one probe, in the order in which they fall due. Ids count from 1, as the database gives them. */
export interface ProbeShare {
  readonly probeId: number;
  readonly regionId: number;
  readonly endpointIds: Uint32Array;
}

/** Three of four answer over TLS; five endpoints stand on a host, with its certificate and address. */
const endpointsPerHost = 5;

/** Throws where a region would have no probe. */
export function sharesOf({ endpoints, regions, probes }: LoadShape): ProbeShare[] {
  if (probes < regions) throw new RangeError(`${probes} probes cannot stand in ${regions} regions`);
  const shares: ProbeShare[] = [];
  for (let regionId = 1; regionId <= regions; regionId += 1) {
    const order = byPhase(endpoints, regionId);
    const count = Math.floor((probes - regionId) / regions) + 1;
    for (let at = 0; at < count; at += 1) {
      const endpointIds = new Uint32Array(Math.ceil((order.length - at) / count));
      for (let index = 0; index < endpointIds.length; index += 1) {
        endpointIds[index] = order[at + index * count] ?? 0;
      }
      shares.push({ probeId: regionId + at * regions, regionId, endpointIds });
    }
  }
  return shares;
}

/** A hash's order, as slots have it: neighbours in time are strangers in the index. */
function byPhase(endpoints: number, region: number): Uint32Array {
  const keys = new Float64Array(endpoints);
  for (let id = 1; id <= endpoints; id += 1) keys[id - 1] = hash(id, region) * 2 ** 21 + (id % 2 ** 21);
  keys.sort();
  return Uint32Array.from(keys, (key) => key % 2 ** 21);
}

/**
 * What the probe sees of the endpoint in the slot: steady in what is steady (address, certificate, size), noisy in its
 * timings, down one time in 200.
 */
export function resultAt({ probeId, regionId }: ProbeShare, endpointId: number, scheduledAt: number): Result {
  const fixed = hash(endpointId, 7);
  const place = hash(endpointId, regionId + 100);
  const noise = hash(endpointId * 32 + regionId, Math.floor(scheduledAt / 1_000_000) % 0x7fff_ffff);
  const host = Math.floor(endpointId / endpointsPerHost);
  const secure = fixed % 4 !== 0;
  const rtt = 2000 + (place % 90_000);
  const jitter = 1 + ((noise % 1000) / 1000) ** 4;
  const lateBy = 150 + ((noise >>> 3) % 900);
  const common = {
    endpointId,
    rev: 1 + (fixed % 5),
    regionId,
    probeId,
    kind: 'slot' as const,
    scheduledAt,
    startedAt: scheduledAt + lateBy,
    lateBy,
    suspect: false,
    redirects: 0,
    truncated: false,
    facts: null,
    evidence: null,
  };
  if (noise % 200 === 0) return { ...common, ...down(noise, host) };
  const dns = 300 + ((noise >>> 5) % 700);
  const connect = Math.round(rtt * jitter);
  const tls = secure ? Math.round(rtt * 1.1 * jitter) + 900 : null;
  const wait = Math.round((rtt + (place % 40_000)) * jitter);
  const transfer = 40 + ((noise >>> 7) % 400);
  return {
    ...common,
    attempts: 1,
    outcome: 'up',
    failure: null,
    firstFailure: null,
    status: fixed % 50 === 0 ? 204 : 200,
    httpVersion: fixed % 3 === 0 ? '2' : '1.1',
    remoteIp: `198.51.${host % 100}.${host % 250}`,
    timings: { dns, connect, tls, wait, transfer, total: dns + connect + (tls ?? 0) + wait + transfer },
    bytes: fixed % 3 === 0 ? 2 + (place % 40) : 500 + (fixed % 60_000) + (noise % 16),
    tls: secure ? certificateOf(host) : null,
  };
}

const codes: readonly FailureCode[] = ['connect.timeout', 'wait.timeout', 'connect.refused', 'expect.status'];

function down(noise: number, host: number) {
  const code = codes[noise % codes.length] ?? 'connect.refused';
  const total = 5_000_000 + (noise % 10_000);
  return {
    attempts: 3,
    outcome: outcomeOf(code),
    failure: failure(code, `198.51.${host % 100}.${host % 250}: nothing came within 5 s`),
    firstFailure: code,
    status: null,
    httpVersion: null,
    remoteIp: `198.51.${host % 100}.${host % 250}`,
    timings: { dns: 400, connect: 30_000 + (noise % 9000), tls: null, wait: null, transfer: null, total },
    bytes: 0,
    tls: null,
  };
}

const issuers = [
  "CN=R11,O=Let's Encrypt,C=US",
  'CN=WE1,O=Google Trust Services,C=US',
  'CN=Example Internal CA',
];
const certificates = new Map<number, TlsFacts>();

function certificateOf(host: number): TlsFacts {
  const known = certificates.get(host);
  if (known) return known;
  const made = {
    version: 'TLSv1.3',
    cipher: host % 3 === 0 ? 'TLS_AES_128_GCM_SHA256' : 'TLS_AES_256_GCM_SHA384',
    notAfter: 1_900_000_000 + (hash(host, 3) % 7_000_000),
    issuer: issuers[host % issuers.length] ?? '',
    fingerprint: createHash('sha256').update(`host ${host}`).digest('hex'),
  };
  certificates.set(host, made);
  return made;
}

/** 32 bits, well mixed (the finalizer of MurmurHash3). */
export function hash(a: number, b: number): number {
  let h = (Math.imul(a, 0x9e37_79b1) ^ Math.imul(b + 1, 0x85eb_ca77)) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
