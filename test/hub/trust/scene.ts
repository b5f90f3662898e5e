import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { enrollmentsApi } from '../../../hub/api/enrollments.ts';
import { kafkaTokenRoutes } from '../../../hub/api/kafka-token.ts';
import type { ApiEnv, Operator } from '../../../hub/api/operator.ts';
import { probeEnrollRoutes } from '../../../hub/api/probe-enroll.ts';
import { bringNonce } from '../../../hub/api/probe-nonce.ts';
import { probesApi } from '../../../hub/api/probes.ts';
import { problemOf, problemResponse } from '../../../hub/api/problem-answers.ts';
import { readBody } from '../../../hub/api/read-body.ts';
import { regionsApi } from '../../../hub/api/regions.ts';
import { wellKnownRoutes } from '../../../hub/api/well-known.ts';
import type { HubConfig } from '../../../hub/config.ts';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { listenForChanges } from '../../../hub/store/listen-for-changes.ts';
import type { Catalog } from '../../../hub/trust/catalog.ts';
import { createEnroller } from '../../../hub/trust/enroll.ts';
import type { HubKeys } from '../../../hub/trust/keys.ts';
import { startRegistry } from '../../../hub/trust/load-registry.ts';
import { createProver, type Prover } from '../../../hub/trust/prove-request.ts';
import type { Registry } from '../../../hub/trust/registry.ts';
import { reloadableKeys } from '../../../hub/trust/reloadable-keys.ts';
import { type EnrollAnswer, enrollPath, type ProbeKey } from '../../../shared/enrollment.ts';
import { nonceHeader, type ProofClaims, proofHeader, signProof } from '../../../shared/request-proof.ts';
import { ed25519Thumbprint } from '../../../shared/signing.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';
import { quiet } from '../ingest/scene.ts';

/** What a hub says whose probes are all new enough. */
export const anyProbe = {
  batchSchemas: [1, 2, 3],
  newest: '0.1.0',
  oldest: '0.1.0',
  refusedFrom: 4_000_000_000,
};

/** Not where the tests reach it: what proofs and tokens are bound to is told, not seen. */
export const publicUrl = 'https://hub.example';

export interface TestKey {
  readonly jwk: ProbeKey;
  readonly kid: string;
  readonly privateKey: KeyObject;
}

export interface Sent {
  readonly method?: string;
  /** What the request really is, where that differs from what is signed. */
  readonly path?: string;
  readonly body?: string;
  /** In place of what a good probe would sign. */
  readonly claims?: Partial<ProofClaims>;
  /** In place of the whole proof; null for none. */
  readonly proof?: string | null;
}

export interface TrustScene {
  /** Where it listens. */
  readonly origin: string;
  readonly db: Database;
  readonly databaseUrl: string;
  readonly keys: HubKeys;
  readonly keysDir: string;
  readonly registry: Registry;
  readonly prover: Prover;
  /** What the registry complained of. */
  readonly complaints: object[];
  /** Added to the hub's clock, milliseconds. */
  later: number;
  reloadKeys(): Promise<boolean>;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  api<T>(
    method: string,
    path: string,
    body?: unknown,
    operator?: Partial<Operator> | null,
  ): Promise<Answered<T>>;
  mint(request: {
    region: string;
    uses?: number;
    ttl?: string;
    approve?: boolean;
  }): Promise<{ jti: string; token: string }>;
  nonce(): Promise<string>;
  /** A request as a probe signs it, or as somebody changed it after. */
  signed(key: TestKey, path: string, sent?: Sent): Promise<Answered<{ probe: number }>>;
  enroll(key: TestKey, token: string, sent?: Sent & { name?: string }): Promise<Answered<EnrollAnswer>>;
  end(): Promise<void>;
}

export interface Answered<T> {
  readonly status: number;
  /** A problem's, or null. */
  readonly code: string | null;
  readonly detail: string | null;
  readonly nonce: string | null;
  readonly content: T;
}

export function newKey(): TestKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const x = publicKey.export({ format: 'jwk' }).x ?? '';
  return { jwk: { kty: 'OKP', crv: 'Ed25519', x }, kid: ed25519Thumbprint(x), privateKey };
}

const admin: Operator = { actor: 'token:test', scopes: ['admin'], regions: null };

export interface SceneOptions {
  /** A second replica on the same database and keys. */
  readonly beside?: TrustScene;
  readonly kafka?: HubConfig['kafka'];
}

/** The routes of trust on a real socket, over a real database and keys in a real folder. */
export async function trustScene({ beside, kafka = null }: SceneOptions = {}): Promise<TrustScene> {
  const database: TestDatabase = beside
    ? { url: beside.databaseUrl, drop: async () => undefined }
    : await testDatabase();
  const keysDir = beside?.keysDir ?? (await mkdtemp(join(tmpdir(), 'parallax-keys-')));
  const db = openDatabase({ url: database.url, maxConnections: 10 });
  const now = () => (Date.now() + scene.later) * 1000;
  const complaints: object[] = [];
  const log = {
    ...quiet,
    info: quiet.info.bind(quiet),
    warn: quiet.warn.bind(quiet),
    error: (line: object) => complaints.push(line),
  } as unknown as typeof quiet;
  const reloadable = await reloadableKeys({
    dir: keysDir,
    publicUrl,
    now: () => Date.now() * 1000,
    log: quiet,
  });
  const { keys } = reloadable;
  const changes = listenForChanges({ url: database.url, log: quiet });
  const registry = await startRegistry({ db, keys, catalog: emptyCatalog, changes, log });
  const prover = createProver({ keys, registry, publicUrl, now });
  const enroller = createEnroller({ db, keys, registry, publicUrl, now, log: quiet });

  const app = new Hono<ApiEnv>();
  app.onError((error, context) => problemResponse(problemOf(error), context.get('requestId') ?? ''));
  app.use(async (context, next) => {
    const operator = context.req.header('x-test-operator');
    if (operator) context.set('operator', JSON.parse(operator) as Operator);
    // As the CLI comes.
    if (context.req.header('authorization') === 'Bearer test') context.set('operator', admin);
    context.set('remoteIp', '192.0.2.1');
    await next();
  });
  app.use('/v1/*', bringNonce(prover));
  app.route('/', probeEnrollRoutes({ prover, enroller }));
  app.route('/', wellKnownRoutes({ keys }));
  app.route('/', kafkaTokenRoutes({ prover, keys, publicUrl, kafka, now }));
  const config = { publicUrl } as HubConfig;
  app.route('/', enrollmentsApi({ db, keys, config, now }));
  app.route('/', probesApi({ db, keys, registry, versions: anyProbe }));
  app.route('/', regionsApi({ db }));
  app.all('/v1/echo/*', async (context) => {
    const { id } = await prover.prove(context.req.raw, await readBody(context.req.raw, 65_536));
    return context.json({ probe: id });
  });
  const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 });
  if (!server.listening) await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const scene: TrustScene = {
    origin,
    db,
    databaseUrl: database.url,
    keys,
    keysDir,
    registry,
    prover,
    complaints,
    later: 0,
    reloadKeys: reloadable.reload,
    fetch: (path, init) => fetch(`${origin}${path}`, init),
    async api(method, path, body, operator = {}) {
      const headers = {
        ...(operator && { 'x-test-operator': JSON.stringify({ ...admin, ...operator }) }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      };
      return answered(
        await scene.fetch(path, {
          method,
          headers,
          ...(body !== undefined && { body: JSON.stringify(body) }),
        }),
      );
    },
    async mint(request) {
      const { status, content } = await scene.api<{ jti: string; token: string }>(
        'POST',
        '/api/v1/enrollments',
        request,
      );
      if (status !== 201) throw new Error(`minting answered ${status}`);
      return content;
    },
    nonce: async () => (await scene.fetch('/v1/echo/nonce')).headers.get(nonceHeader) ?? '',
    async signed(key, path, { method = 'POST', body = '', claims = {}, path: taken = path, proof } = {}) {
      const said: ProofClaims = {
        htm: method,
        htu: `${publicUrl}${path}`,
        bh: createHash('sha256').update(body).digest('base64url'),
        nonce: claims.nonce ?? (await scene.nonce()),
        ...claims,
      };
      const sent = proof === undefined ? await signProof(key.privateKey, key.kid, said) : proof;
      return answered(
        await scene.fetch(taken, {
          method,
          headers: sent === null ? {} : { [proofHeader]: sent },
          ...(body !== '' && { body }),
        }),
      );
    },
    async enroll(key, token, { name = 'probe', ...sent } = {}) {
      const body = JSON.stringify({ token, key: key.jwk, name, version: '0.1.0', runtime: 'node 24' });
      return (await scene.signed(key, enrollPath, { body, ...sent })) as unknown as Answered<EnrollAnswer>;
    },
    async end() {
      const closed = once(server, 'close');
      server.close();
      await closed;
      registry.stop();
      reloadable.stop();
      await changes.stop();
      await db.end();
      await database.drop();
      if (!beside) await rm(keysDir, { recursive: true });
    },
  };
  return scene;
}

async function answered<T>(response: Response): Promise<Answered<T>> {
  const text = await response.text();
  const content = (text === '' ? {} : JSON.parse(text)) as T & { code?: string; detail?: string };
  return {
    status: response.status,
    code: content.code ?? null,
    detail: content.detail ?? null,
    nonce: response.headers.get(nonceHeader),
    content,
  };
}

export const emptyCatalog: Pick<Catalog, 'regionsOf' | 'refresh' | 'subscribe'> = {
  regionsOf: () => undefined,
  refresh: async () => undefined,
  subscribe: () => () => undefined,
};
