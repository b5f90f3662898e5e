import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePort } from '../../hub/process/port.ts';
import { openDatabase } from '../../hub/store/database.ts';
import { createApiToken } from '../../hub/trust/api-tokens.ts';
import { readHubKeys } from '../../hub/trust/load-keys.ts';
import { root } from '../harness/imports.ts';
import { until } from '../hub/ingest/until.ts';
import { type CliAnswer, cli } from './up-process.ts';

/** A hub and probes as an operator runs them, each a process of dist/, on a database that is somebody else's. */
export interface OwnNetwork {
  readonly folder: string;
  readonly origin: string;
  readonly secret: string;
  readonly keysDir: string;
  /** Resolves when it is ready. */
  startHub(env: Readonly<Record<string, string>>): Promise<OwnProcess>;
  /** Enrolls at the first start; afterwards its folder is all it has. */
  startProbe(name: string, region: string, allow: readonly string[]): Promise<OwnProcess>;
  spool(name: string): string;
  apply(documents: readonly object[]): Promise<void>;
  /** A command with an admin's token. */
  cli(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<CliAnswer>;
  end(): Promise<void>;
}

export interface OwnProcess {
  readonly pid: number;
  /** All it wrote. */
  said(): string;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export async function ownNetwork(): Promise<OwnNetwork> {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-own-'));
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const secret = randomBytes(32).toString('base64');
  const keysDir = join(folder, 'keys');
  const running = new Set<OwnProcess>();
  let operator: Record<string, string> | null = null;
  const ours = { PARALLAX_KEYS: keysDir, PARALLAX_SECRET: secret, PARALLAX_LISTEN: `127.0.0.1:${port}` };
  const none = { DATABASE_URL: '', KAFKA_BROKERS: '', PARALLAX_HUB: '', PARALLAX_TOKEN: '', NO_COLOR: '1' };

  function run(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
  ): OwnProcess & { child: ChildProcess } {
    const child = spawn(process.execPath, [join(root, 'dist/parallax.js'), ...args], {
      env: { ...process.env, ...none, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
    }
    const ended = once(child, 'exit');
    const made = {
      child,
      pid: child.pid ?? 0,
      said: () => text,
      async stop(signal: NodeJS.Signals = 'SIGTERM') {
        running.delete(made);
        if (child.exitCode === null && child.signalCode === null) child.kill(signal);
        await ended;
        return child.exitCode;
      },
    };
    running.add(made);
    return made;
  }

  async function token(databaseUrl: string): Promise<Record<string, string>> {
    const db = openDatabase({ url: databaseUrl, maxConnections: 1 });
    try {
      const asked = {
        name: 'test',
        scopes: ['admin'] as const,
        regions: null,
        expiresAt: null,
        createdBy: 'test',
      };
      const made = await createApiToken(db, await readHubKeys(keysDir), asked);
      return { PARALLAX_HUB: origin, PARALLAX_TOKEN: made.token };
    } finally {
      await db.end();
    }
  }

  const network: OwnNetwork = {
    folder,
    origin,
    secret,
    keysDir,
    async startHub(env) {
      const hub = run(['hub'], { ...ours, ...env });
      await until(async () => {
        if (hub.child.exitCode !== null) throw new Error(`the hub ended: ${hub.said()}`);
        const ready = await fetch(`${origin}/readyz`).catch(() => null);
        return ready?.ok ?? false;
      }, 60_000);
      operator ??= await token(env.DATABASE_URL ?? '');
      return hub;
    },
    async startProbe(name, region, allow) {
      const data = join(folder, name);
      await mkdir(data, { recursive: true, mode: 0o700 });
      const enrolled = await network.cli(['enroll', '--region', region]);
      const probe = run(
        [
          'probe',
          '--hub',
          origin,
          '--data',
          data,
          '--name',
          name,
          ...allow.flatMap((one) => ['--allow-network', one]),
        ],
        { PARALLAX_ENROLL_TOKEN: enrolled.stdout.trim() },
      );
      return probe;
    },
    spool: (name) => join(folder, name, 'spool'),
    async apply(documents) {
      const file = join(folder, 'endpoints.yaml');
      await writeFile(file, stringify({ endpoints: documents }));
      const applied = await network.cli(['endpoints', 'apply', file, '--source', 'test', '--prune']);
      if (applied.code !== 0) throw new Error(applied.stderr);
    },
    cli: (args, env = {}) => cli(args, { ...none, ...operator, ...env }),
    async end() {
      for (const one of [...running]) await one.stop('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
  return network;
}
