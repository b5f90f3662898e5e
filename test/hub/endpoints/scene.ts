import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import pino from 'pino';
import { endpointsApi } from '../../../hub/api/endpoints.ts';
import type { ApiEnv, Operator } from '../../../hub/api/operator.ts';
import { problemOf, problemResponse } from '../../../hub/api/problem-answers.ts';
import { endpointsCommand } from '../../../hub/cli/endpoints.ts';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { listenForChanges } from '../../../hub/store/listen-for-changes.ts';
import type { Catalog } from '../../../hub/trust/catalog.ts';
import type { HubKeys } from '../../../hub/trust/keys.ts';
import { startCatalog } from '../../../hub/trust/load-catalog.ts';
import { runCommandLine } from '../../../shared/command-line.ts';
import type { EndpointDocument } from '../../../shared/endpoint.ts';
import { testDatabase } from '../../harness/postgres.ts';

export interface Shown {
  readonly id: number;
  readonly rev: number;
  readonly name: string;
  readonly source: string;
  readonly trusted: boolean;
  readonly document: EndpointDocument | null;
}

export interface Answered<T> {
  readonly status: number;
  readonly etag: string | null;
  readonly text: string;
  readonly content: T & {
    readonly code?: string;
    readonly detail?: string;
    readonly errors?: readonly { readonly path: string; readonly message: string }[];
  };
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface EndpointsScene {
  readonly db: Database;
  readonly databaseUrl: string;
  readonly secret: Uint8Array;
  readonly keys: Pick<HubKeys, 'hmac'>;
  readonly catalog: Catalog;
  /** Every line the hub logged, as text. */
  readonly logged: string[];
  /** Added to the catalog's clock, microseconds. */
  laterUs: number;
  api<T = Shown>(
    method: string,
    path: string,
    body?: unknown,
    options?: { operator?: Partial<Operator> | null; match?: string | number },
  ): Promise<Answered<T>>;
  /** Makes one and answers it. */
  create(document: object, source?: string): Promise<Shown>;
  /** `parallax endpoints …` as an admin. */
  cli(...argv: readonly string[]): Promise<Ran>;
  env: Record<string, string | undefined>;
  /** Writes a file into the folder in which the CLI runs. */
  file(name: string, content: string): Promise<string>;
  catalogAgain(secret?: Uint8Array, alsoSecrets?: readonly Uint8Array[]): Promise<Catalog>;
  end(): Promise<void>;
}

const admin: Operator = { actor: 'token:test', scopes: ['admin'], regions: null };

/** The endpoints' API on a real socket and the catalog beside it, over a real database. */
export async function endpointsScene(): Promise<EndpointsScene> {
  const database = await testDatabase();
  const db = openDatabase({ url: database.url, maxConnections: 8 });
  const folder = await mkdtemp(join(tmpdir(), 'parallax-endpoints-'));
  const [secret, keys] = [randomBytes(32), { hmac: randomBytes(32) }];
  const logged: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) });
  const changes = listenForChanges({ url: database.url, log });
  const catalogs: Catalog[] = [];
  const catalogAgain = async (other: Uint8Array = secret, alsoSecrets: readonly Uint8Array[] = []) => {
    const now = () => Date.now() * 1000 + scene.laterUs;
    const catalog = await startCatalog({
      db,
      keys,
      secret: other,
      alsoSecrets,
      changes,
      log,
      retentionDays: 7,
      now,
    });
    catalogs.push(catalog);
    return catalog;
  };

  const app = new Hono<ApiEnv>();
  app.onError((error, context) => {
    if (problemOf(error).status === 500) console.error(error);
    return problemResponse(problemOf(error), context.get('requestId') ?? '');
  });
  app.use(async (context, next) => {
    const operator = context.req.header('x-test-operator');
    if (operator) context.set('operator', JSON.parse(operator) as Operator);
    if (context.req.header('authorization') === 'Bearer admin') context.set('operator', admin);
    context.set('remoteIp', '192.0.2.1');
    await next();
  });
  app.route('/', endpointsApi({ db, keys, config: { secret } }));
  const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 });
  if (!server.listening) await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const scene: EndpointsScene = {
    db,
    databaseUrl: database.url,
    secret,
    keys,
    logged,
    laterUs: 0,
    env: { PARALLAX_HUB: origin, PARALLAX_TOKEN: 'admin' },
    get catalog() {
      return catalogs[0] as Catalog;
    },
    async api<T>(method: string, path: string, body?: unknown, { operator = {}, match }: Options = {}) {
      const response = await fetch(`${origin}/api/v1/endpoints${path}`, {
        method,
        headers: {
          ...(operator && { 'x-test-operator': JSON.stringify({ ...admin, ...operator }) }),
          ...(match !== undefined && { 'if-match': typeof match === 'number' ? `"${match}"` : match }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const content = (text === '' ? {} : JSON.parse(text)) as Answered<T>['content'];
      return { status: response.status, etag: response.headers.get('etag'), text, content };
    },
    async create(document, source = 'api') {
      const answer = await scene.api('POST', `?source=${encodeURIComponent(source)}`, document);
      if (answer.status !== 201) throw new Error(`creating answered ${answer.status}: ${answer.text}`);
      return answer.content;
    },
    async cli(...argv) {
      const [out, err]: [string[], string[]] = [[], []];
      const terminal = {
        out: (text: string) => void out.push(text),
        err: (text: string) => void err.push(text),
        columns: null,
        colour: false,
      };
      const context = { env: scene.env, cwd: folder, terminal, signal: AbortSignal.timeout(60_000) };
      const code = await runCommandLine(endpointsCommand(context), argv, terminal);
      return { code, out: out.join(''), err: err.join('') };
    },
    async file(name, content) {
      await writeFile(join(folder, name), content);
      return name;
    },
    catalogAgain,
    async end() {
      for (const catalog of catalogs) catalog.stop();
      const closed = once(server, 'close');
      server.close();
      await closed;
      await changes.stop();
      await db.end();
      await database.drop();
      await rm(folder, { recursive: true });
    },
  };
  await catalogAgain();
  return scene;
}

interface Options {
  readonly operator?: Partial<Operator> | null;
  readonly match?: string | number;
}

/** A reference as a document has it. */
export const ref = (kind: 'env' | 'probe', name: string) => `\${${kind}:${name}}`;

/** Calls back until it does not throw: what comes by notification comes soon. */
export async function soon<T>(look: () => T | Promise<T>, withinMs = 5000): Promise<T> {
  const until = performance.now() + withinMs;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
