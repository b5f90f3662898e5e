import { generateKeyPairSync, type KeyObject, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type EncodedShardDocument,
  type ManifestShard,
  type SealedDocument,
  sealManifest,
  sealShard,
} from '../../shared/assignment.ts';
import { type EnrollmentClaims, enrollRequestSchema, type KeySetDocument } from '../../shared/enrollment.ts';
import { signHubToken } from '../../shared/hub-token.ts';
import { signJws } from '../../shared/jws.ts';
import { keySetPath, keySetType } from '../../shared/key-set.ts';
import { type LeaseClaims, type LeaseRequest, leaseRequestSchema } from '../../shared/lease.ts';
import { bodyHash, nonceHeader, proofHeader, verifyProof } from '../../shared/request-proof.ts';
import { ed25519PublicKey, ed25519Thumbprint } from '../../shared/signing.ts';
import { shardOf } from '../../shared/slot.ts';

export interface TestKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly x: string;
}

export function testKey(): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const x = publicKey.export({ format: 'jwk' }).x ?? '';
  return { kid: ed25519Thumbprint(x), privateKey, publicKey, x };
}

export interface FakeProbe {
  readonly id: number;
  readonly kid: string;
  readonly publicKey: KeyObject;
  status: 'active' | 'pending' | 'revoked';
  version: number;
  /** What it asked last. */
  asked: LeaseRequest | null;
  entries: Omit<ManifestShard, 'digest'>[];
}

type EncodedEndpoint = EncodedShardDocument['endpoints'][number];

/** As the hub serves it to probes, on a real socket with real signatures; what it answers can be bent by a test. */
export interface FakeHub {
  url: string;
  readonly root: TestKey;
  /** Signs leases. */
  leaseKey: TestKey;
  readonly probes: Map<string, FakeProbe>;
  readonly endpoints: Map<number, EncodedEndpoint>;
  /** Requests by path, in order. */
  readonly requests: string[];
  /** Microseconds that its clock goes ahead of this machine's. */
  aheadUs: number;
  leaseSeconds: number;
  pollMs: number;
  keySetVersion: number;
  /** Of probes that enroll. */
  newStatus: 'active' | 'pending';
  /** Bends the claims of a lease before it is signed. */
  bendClaims: (claims: LeaseClaims, probe: FakeProbe) => LeaseClaims;
  /** Answers in place of the hub where it gives something. */
  intercept: (request: IncomingMessage, response: ServerResponse, body: Buffer) => boolean | Promise<boolean>;
  keySet(): Promise<KeySetDocument>;
  token(over?: Partial<EnrollmentClaims>): Promise<string>;
  nowUs(): number;
  /** Gives a probe all 256 shards, in force since ever. */
  giveAll(probe: FakeProbe): void;
  probe(): FakeProbe;
  /** Something changed: who waits is answered. */
  wake(): void;
  lease(probe: FakeProbe): Promise<string>;
  /** Resolves when the predicate holds; looked at after each request. */
  until(holds: () => boolean, withinMs?: number): Promise<void>;
  listen(): Promise<void>;
  close(): Promise<void>;
}

export const fakeRegion = { id: 7, name: 'eu-west' };

export async function startFakeHub(): Promise<FakeHub> {
  const root = testKey();
  const nonces = new Set<string>();
  const waiting = new Set<() => void>();
  const watchers = new Set<() => void>();
  const documents = new Map<string, Uint8Array>();
  const server = createServer((request, response) => {
    void handle(request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  let port = 0;

  async function listen(): Promise<void> {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  }
  await listen();

  const hub: FakeHub = {
    url: `http://127.0.0.1:${port}`,
    root,
    leaseKey: testKey(),
    probes: new Map(),
    endpoints: new Map(),
    requests: [],
    aheadUs: 0,
    leaseSeconds: 3600,
    pollMs: 300,
    keySetVersion: 1,
    newStatus: 'active',
    bendClaims: (claims) => claims,
    intercept: () => false,
    nowUs: () => Date.now() * 1000 + hub.aheadUs,
    async keySet() {
      const version = hub.keySetVersion;
      const jwk = ({ x, kid }: TestKey) => ({ kty: 'OKP', crv: 'Ed25519', alg: 'Ed25519', kid, x });
      const claims = { iss: hub.url, root: jwk(root), version, iat: seconds(), keys: [jwk(hub.leaseKey)] };
      return { keyset: await signJws(keySetType, claims, root), chain: [] };
    },
    token: (over = {}) =>
      signHubToken(
        'enroll+jwt',
        {
          iss: hub.url,
          jti: randomUUID(),
          region: fakeRegion.name,
          uses: 1,
          root: root.kid,
          iat: seconds(),
          exp: seconds() + 3600,
          ...over,
        } as EnrollmentClaims,
        hub.leaseKey,
      ),
    giveAll(probe) {
      probe.entries = Array.from({ length: 256 }, (_, shard) => ({ shard, rank: 0, from: 0, until: null }));
    },
    probe() {
      const [probe] = hub.probes.values();
      if (!probe) throw new Error('no probe has enrolled');
      return probe;
    },
    wake() {
      for (const wake of [...waiting]) wake();
    },
    async lease(probe) {
      probe.version = Math.max(probe.version + 1, Date.now());
      const now = hub.nowUs();
      const claims: LeaseClaims = {
        iss: hub.url,
        aud: String(probe.id),
        region: fakeRegion,
        version: probe.version,
        manifest: sealAll(probe).digest,
        durable: [],
        kafka: null,
        jobs: [],
        lingerMs: 1000,
        now,
        iat: Math.floor(now / 1_000_000),
        exp: Math.floor(now / 1_000_000) + hub.leaseSeconds,
      };
      return signHubToken('lease+jwt', hub.bendClaims(claims, probe), hub.leaseKey);
    },
    until(holds, withinMs = 10_000) {
      return new Promise((done, fail) => {
        const timer = setTimeout(() => fail(new Error('the hub waited in vain')), withinMs);
        const look = () => {
          if (!holds()) return;
          clearTimeout(timer);
          watchers.delete(look);
          done();
        };
        watchers.add(look);
        look();
      });
    },
    listen,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };

  const seconds = () => Math.floor(hub.nowUs() / 1_000_000);

  /** Seals what the probe shall check now, and keeps the bytes to be fetched. */
  function sealAll(probe: FakeProbe): SealedDocument {
    const byShard = Map.groupBy(hub.endpoints.values(), ({ id }) => shardOf(id));
    const entries = probe.entries.filter(({ shard }) => byShard.has(shard));
    const used = new Set(entries.map(({ shard }) => shard));
    const digests = new Map<number, string>();
    for (const shard of used) {
      const sealed = sealShard({ regionId: fakeRegion.id, shard, endpoints: byShard.get(shard) ?? [] });
      documents.set(sealed.digest, sealed.bytes);
      digests.set(shard, sealed.digest);
    }
    const shards = entries.map((entry) => ({ ...entry, digest: digests.get(entry.shard) ?? '' }));
    const manifest = sealManifest({ probeId: probe.id, regionId: fakeRegion.id, shards });
    documents.set(manifest.digest, manifest.bytes);
    return manifest;
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readAll(request);
    const path = request.url ?? '';
    hub.requests.push(`${request.method} ${path}`);
    response.on('close', () => {
      for (const look of [...watchers]) look();
    });
    const nonce = randomBytes(12).toString('base64url');
    nonces.add(nonce);
    response.setHeader(nonceHeader, nonce);
    if (await hub.intercept(request, response, body)) return;
    if (path === keySetPath) return json(response, 200, await hub.keySet());
    const kid = await prove(request, body);
    if (kid === null) return problem(response, 401, 'proof.nonce', 'the nonce has passed');
    if (path === '/v1/enroll') return enroll(kid, body, response);
    const probe = hub.probes.get(kid);
    if (!probe) return problem(response, 401, 'probe.unknown', 'this probe is not known here');
    if (path === '/v1/lease') return giveLease(probe, body, response);
    const digest = /^\/v1\/assignments\/([0-9a-f]{64})$/.exec(path)?.[1] ?? '';
    const bytes = documents.get(digest);
    if (!bytes) return problem(response, 404, 'assignment.unknown', 'no such assignments');
    response.writeHead(200).end(bytes);
  }

  /** The key id of whoever signed; null where the nonce is none of ours. */
  async function prove(request: IncomingMessage, body: Buffer): Promise<string | null> {
    const proof = String(request.headers[proofHeader] ?? '');
    const own = (kid: string) => {
      const known = hub.probes.get(kid)?.publicKey;
      if (known || request.url !== '/v1/enroll') return known;
      const parsed = enrollRequestSchema.safeParse(JSON.parse(body.toString()));
      return parsed.success ? ed25519PublicKey(parsed.data.key.x) : undefined;
    };
    const { kid, claims } = await verifyProof(proof, own);
    const fits =
      claims.htm === request.method &&
      claims.htu === `${hub.url}${request.url}` &&
      claims.bh === bodyHash(body);
    if (!fits) throw new Error('the proof is for another request');
    return nonces.has(claims.nonce) ? kid : null;
  }

  async function giveLease(probe: FakeProbe, body: Buffer, response: ServerResponse): Promise<void> {
    const asked = leaseRequestSchema.parse(JSON.parse(body.toString()));
    probe.asked = asked;
    if (probe.status === 'active' && asked.manifest === sealAll(probe).digest) {
      await new Promise<void>((done) => {
        const wake = () => {
          clearTimeout(timer);
          waiting.delete(wake);
          done();
        };
        const timer = setTimeout(wake, hub.pollMs);
        waiting.add(wake);
      });
    }
    if (probe.status === 'pending') return problem(response, 403, 'probe.pending', 'wait for approval');
    if (probe.status === 'revoked') {
      const claims = { iss: hub.url, aud: String(probe.id), iat: seconds(), reason: 'stolen' };
      return json(response, 200, { revoked: await signHubToken('revoked+jwt', claims, hub.leaseKey) });
    }
    json(response, 200, { lease: await hub.lease(probe) });
  }

  function enroll(kid: string, body: Buffer, response: ServerResponse): void {
    const { key } = enrollRequestSchema.parse(JSON.parse(body.toString()));
    const known = hub.probes.get(kid);
    const id = known?.id ?? 100 + hub.probes.size;
    if (!known) {
      const publicKey = ed25519PublicKey(key.x);
      hub.probes.set(kid, {
        id,
        kid,
        publicKey,
        status: hub.newStatus,
        version: 0,
        asked: null,
        entries: [],
      });
      hub.giveAll(hub.probes.get(kid) as FakeProbe);
    }
    json(response, 200, { probeId: id, region: fakeRegion, status: hub.newStatus });
  }

  return hub;
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function problem(response: ServerResponse, status: number, code: string, detail: string): void {
  response
    .writeHead(status, { 'content-type': 'application/problem+json' })
    .end(JSON.stringify({ type: 'about:blank', status, code, detail }));
}
