import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scope } from '../../hub/api/operator.ts';
import type { HubConfig } from '../../hub/config.ts';
import { createHubLog } from '../../hub/hub-log.ts';
import { runHub } from '../../hub/main.ts';
import { freePort } from '../../hub/process/port.ts';
import { readHubConfig } from '../../hub/read-config.ts';
import { type Database, openDatabase } from '../../hub/store/database.ts';
import { createApiToken } from '../../hub/trust/api-tokens.ts';
import type { HubKeys } from '../../hub/trust/keys.ts';
import { readHubKeys } from '../../hub/trust/load-keys.ts';
import { testDatabase } from '../harness/postgres.ts';
import { until } from './ingest/until.ts';

/** A whole hub on a real socket over a database of its own. */
export interface HubScene {
  readonly origin: string;
  readonly port: number;
  readonly databaseUrl: string;
  readonly db: Database;
  readonly keys: HubKeys;
  readonly keysDir: string;
  /** Lines for the person at the terminal. */
  readonly said: readonly string[];
  /** What it logged, as objects. */
  logged(): readonly Readonly<Record<string, unknown>>[];
  token(
    scopes: readonly Scope[],
    regions?: readonly string[] | null,
    expiresAt?: Date | null,
  ): Promise<string>;
  /** With a token where one is given. */
  ask(path: string, init?: RequestInit & { token?: string }): Promise<Response>;
  stop(): Promise<void>;
}

export async function startHubScene(
  over: Partial<HubConfig> = {},
  { signInLink = true, port: wanted }: { readonly signInLink?: boolean; readonly port?: number } = {},
): Promise<HubScene> {
  const database = await testDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'parallax-hub-'));
  const port = wanted ?? (await freePort());
  const config = {
    ...readHubConfig({
      DATABASE_URL: database.url,
      PARALLAX_KEYS: join(folder, 'keys'),
      PARALLAX_SECRET: randomBytes(32).toString('base64'),
      PARALLAX_LISTEN: `127.0.0.1:${port}`,
      LOG_LEVEL: 'debug',
    }),
    ...over,
  };
  const said: string[] = [];
  const lines: string[] = [];
  const stopping = new AbortController();
  const log = createHubLog(config.logLevel, (line) => void lines.push(line));
  const running = runHub(config, {
    version: '0.0.0-test',
    log,
    say: (line) => void said.push(line),
    signal: stopping.signal,
  });
  const db = openDatabase({ url: database.url, maxConnections: 4 });
  // The last that is said at a first start.
  const last = signInLink ? '/sign-in#' : 'is running';
  await Promise.race([until(() => said.some((line) => line.includes(last)), 60_000), running]);
  const keysDir = config.keysDir;
  const keys = await readHubKeys(keysDir);
  const scheme = config.tls ? 'https' : 'http';
  const origin = `${scheme}://127.0.0.1:${port}`;
  return {
    origin,
    port,
    databaseUrl: database.url,
    db,
    keys,
    keysDir,
    said,
    logged: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    async token(scopes, regions = null, expiresAt = null) {
      const { token } = await createApiToken(db, keys, {
        name: 'test',
        scopes,
        regions,
        expiresAt,
        createdBy: 'test',
      });
      return token;
    },
    ask: (path, { token, ...init } = {}) =>
      fetch(`${origin}${path}`, {
        ...init,
        headers: {
          ...(token && { authorization: `Bearer ${token}` }),
          ...(init.headers as Record<string, string>),
        },
        redirect: 'manual',
      }),
    async stop() {
      stopping.abort();
      await running;
      await db.end();
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function codeOf(response: Response): Promise<[status: number, code: unknown]> {
  const body: unknown = await response.json().catch(() => null);
  return [response.status, (body as { code?: unknown } | null)?.code];
}
