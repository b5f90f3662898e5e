import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { assignmentRoutes } from '../../../hub/api/assignments.ts';
import { leaseRoutes } from '../../../hub/api/lease.ts';
import type { ApiEnv } from '../../../hub/api/operator.ts';
import { bringNonce } from '../../../hub/api/probe-nonce.ts';
import { problemOf, problemResponse } from '../../../hub/api/problem-answers.ts';
import type { HubKafkaConfig } from '../../../hub/config.ts';
import { listenForChanges } from '../../../hub/store/listen-for-changes.ts';
import { type Leases, type LeasesOptions, startLeases } from '../../../hub/trust/start-leases.ts';
import {
  type Manifest,
  manifestSchema,
  type ShardDocument,
  sha256Hex,
  shardDocumentSchema,
} from '../../../shared/assignment.ts';
import { verifyHubToken } from '../../../shared/hub-token.ts';
import type { LeaseAnswer, LeaseClaims, LeaseRequest } from '../../../shared/lease.ts';
import { bodyHash, proofHeader, signProof } from '../../../shared/request-proof.ts';
import { quiet } from '../ingest/scene.ts';
import { type MemoryCatalog, memoryCatalog } from './memory-catalog.ts';
import { newKey, publicUrl, type TestKey, type TrustScene, trustScene } from './scene.ts';

export interface LeaseProbe {
  readonly id: number;
  readonly regionId: number;
  readonly key: TestKey;
}

export interface LeaseScene {
  readonly trust: TrustScene;
  readonly leases: Leases;
  readonly catalog: MemoryCatalog;
  readonly origin: string;
  join(region: string, options?: { approve?: boolean }): Promise<LeaseProbe>;
  /** POST /v1/lease as the probe signs it. */
  post(probe: LeaseProbe, over?: Partial<LeaseRequest>, signal?: AbortSignal): Promise<Response>;
  /** Whatever bytes, signed. */
  postBytes(probe: LeaseProbe, body: string): Promise<Response>;
  /** The same as post, verified as the probe does. */
  ask(probe: LeaseProbe, over?: Partial<LeaseRequest>): Promise<LeaseClaims>;
  get(probe: LeaseProbe, digest: string, headers?: Record<string, string>): Promise<Response>;
  manifest(probe: LeaseProbe, digest: string): Promise<Manifest>;
  shard(probe: LeaseProbe, digest: string): Promise<ShardDocument>;
  /** Asks until the manifest is as it shall be, or throws. */
  askUntil(probe: LeaseProbe, holds: (manifest: Manifest) => boolean, timeoutMs?: number): Promise<Manifest>;
  end(): Promise<void>;
}

export interface LeaseSceneOptions {
  /** A second replica on the same database, keys and catalog. */
  readonly beside?: LeaseScene;
  readonly waitMs?: number;
  readonly kafka?: HubKafkaConfig['probes'];
  readonly jobs?: LeasesOptions['jobs'];
  readonly versions?: LeasesOptions['versions'];
  readonly catalog?: MemoryCatalog;
}

export const testSecret = new Uint8Array(32).fill(7);

/** Leases and assignments on a real socket, over a real database, real keys and the real prover. */
export async function leaseScene(options: LeaseSceneOptions = {}): Promise<LeaseScene> {
  const { beside, waitMs, kafka = null, jobs, versions } = options;
  const catalog = options.catalog ?? beside?.catalog ?? memoryCatalog();
  const trust = await trustScene(beside ? { beside: beside.trust } : {});
  const changes = listenForChanges({ url: trust.databaseUrl, log: quiet });
  const leases = await startLeases({
    config: {
      publicUrl,
      leaseTtlSeconds: 21_600,
      env: 'test',
      secret: testSecret,
      alsoSecrets: [],
      kafka: kafka && ({ probes: kafka } as HubKafkaConfig),
    },
    db: trust.db,
    keys: trust.keys,
    registry: trust.registry,
    catalog,
    changes,
    log: quiet,
    now: () => (Date.now() + trust.later) * 1000,
    ...(waitMs !== undefined && { waitMs }),
    ...(jobs && { jobs }),
    ...(versions && { versions }),
  });
  const app = new Hono<ApiEnv>();
  app.onError((error) => problemResponse(problemOf(error), ''));
  app.use('/v1/*', bringNonce(trust.prover));
  app.route('/', leaseRoutes({ prover: trust.prover, leases }));
  app.route('/', assignmentRoutes({ prover: trust.prover, leases }));
  const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 });
  if (!server.listening) await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  async function signed(
    { key }: LeaseProbe,
    method: 'GET' | 'POST',
    path: string,
    body: string,
    init: RequestInit = {},
  ) {
    const proof = await signProof(key.privateKey, key.kid, {
      htm: method,
      htu: `${publicUrl}${path}`,
      bh: bodyHash(Buffer.from(body)),
      nonce: trust.prover.issueNonce(),
    });
    return fetch(`${origin}${path}`, {
      ...init,
      method,
      headers: { ...(init.headers as Record<string, string>), [proofHeader]: proof },
      ...(method === 'POST' && { body }),
    });
  }

  const scene: LeaseScene = {
    trust,
    leases,
    catalog,
    origin,
    async join(region, { approve = false } = {}) {
      const { token } = await trust.mint({ region, approve });
      const key = newKey();
      const { status, content } = await trust.enroll(key, token);
      if (status !== 200) throw new Error(`enrolling answered ${status}`);
      return { id: content.probeId, regionId: content.region.id, key };
    },
    post: (probe, over = {}, signal) =>
      signed(probe, 'POST', '/v1/lease', JSON.stringify({ ...plainRequest, ...over }), {
        ...(signal && { signal }),
      }),
    postBytes: (probe, body) => signed(probe, 'POST', '/v1/lease', body),
    ask: async (probe, over) => verified(probe, await scene.post(probe, over)),
    get: (probe, digest, headers = {}) => signed(probe, 'GET', `/v1/assignments/${digest}`, '', { headers }),
    manifest: async (probe, digest) => manifestSchema.parse(await fetched(probe, digest)),
    shard: async (probe, digest) => shardDocumentSchema.parse(await fetched(probe, digest)),
    async askUntil(probe, holds, timeoutMs = 10_000) {
      const deadline = performance.now() + timeoutMs;
      let manifest: string | null = null;
      let have = 0;
      while (performance.now() < deadline) {
        const response = await scene.post(probe, { have, manifest });
        // The documents of the region are being made.
        if (response.status === 503) continue;
        const lease = await verified(probe, response);
        [have, manifest] = [lease.version, lease.manifest];
        const found = await scene.manifest(probe, manifest);
        if (holds(found)) return found;
      }
      throw new Error(`${timeoutMs} ms went by, and still not: ${holds}`);
    },
    async end() {
      await leases.stop();
      await changes.stop();
      server.close();
      if ('closeAllConnections' in server) server.closeAllConnections();
      await trust.end();
    },
  };

  async function verified(probe: LeaseProbe, response: Response): Promise<LeaseClaims> {
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    const { lease = '' } = (await response.json()) as LeaseAnswer;
    return verifyHubToken(lease, trust.keys.leaseKeys, {
      typ: 'lease+jwt',
      issuer: publicUrl,
      audience: String(probe.id),
    });
  }

  async function fetched(probe: LeaseProbe, digest: string): Promise<unknown> {
    const response = await scene.get(probe, digest);
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    const bytes = Buffer.from(await response.arrayBuffer());
    if (sha256Hex(bytes) !== digest) throw new Error(`the bytes are not ${digest}`);
    return JSON.parse(bytes.toString('utf8'));
  }
  return scene;
}

export const plainRequest: LeaseRequest = {
  have: 0,
  manifest: null,
  capacity: 1000,
  noise: 100,
  dropped: 0,
  streams: [],
  spoolBytes: 0,
  version: '0.1.0',
  runtime: 'node test',
};
