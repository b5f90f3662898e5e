import pg from 'pg';
import { supervise } from '../process/supervise.ts';
import { startEmbeddedPostgres } from '../store/embedded/start.ts';
import { whereOf } from '../store/reach-database.ts';
import { startChild } from './child.ts';
import { listenText, untilReady } from './listen.ts';
import type { Network } from './network.ts';
import { watchReady } from './watch-ready.ts';

/** The database of DATABASE_URL, or one of our own. Ask for its address each time: it may come back on another port. */
export async function startDatabase({ home, env, say, signal, components }: Network): Promise<() => string> {
  const given = env.DATABASE_URL;
  if (given) {
    await requireDatabase(given);
    say('database', 'the one of DATABASE_URL');
    return () => given;
  }
  let url = '';
  const postgres = await supervise({
    name: 'postgres',
    say: (line) => say('postgres', line),
    async start() {
      const server = await startEmbeddedPostgres({
        dataDir: home.postgres,
        logFile: home.log('postgres'),
        log: (line) => say('postgres', line),
        signal,
      });
      url = server.url;
      return server;
    },
  });
  components.push(postgres);
  const { port } = new URL(url);
  say('postgres', `ready on 127.0.0.1:${port} (process ${postgres.pid()}), data in ${home.postgres}`);
  return () => url;
}

/** The hub would wait for it a minute, as it should where machines start together; here a person waits. */
async function requireDatabase(url: string): Promise<void> {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw new Error('DATABASE_URL: is not an address like postgresql://user:password@host:5432/parallax');
  }
  try {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
    client.on('error', () => undefined);
    await client.connect();
    await client.end();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why =
      message === 'Connection terminated unexpectedly'
        ? `what answers at ${whereOf(url)} hung up: it is not PostgreSQL, or lets nobody in`
        : message || code;
    throw new Error(
      `DATABASE_URL: ${why}: set it right, or unset it for the PostgreSQL that comes with Parallax`,
      { cause: error },
    );
  }
}

export async function startHub(network: Network, databaseUrl: () => string): Promise<void> {
  const { home, listen, env, origin, say, signal, components } = network;
  let isReady = true;
  const hub = await supervise({
    name: 'hub',
    say: (line) => say('hub', line),
    start: (stopping) =>
      startChild(
        {
          argv: ['hub', '--listen', listenText(listen)],
          env: { ...hubEnv(network), DATABASE_URL: databaseUrl() },
          logFile: home.log('hub'),
        },
        async (waiting) => {
          isReady = await untilReady(origin, waiting);
        },
        AbortSignal.any([signal, stopping]),
      ),
  });
  components.push(hub);
  void watchReady(origin, (line) => say('hub', line), signal);
  const way = env.KAFKA_BROKERS
    ? `results through Kafka at ${env.KAFKA_BROKERS}`
    : 'results come in directly';
  say(
    'hub',
    `${isReady ? 'ready' : 'started, and waits for Kafka,'} on ${origin} (process ${hub.pid()}), ${way}`,
  );
}

/** What the user set goes before what we would choose. */
function hubEnv({ home, origin, env }: Network): Record<string, string> {
  const ours: Record<string, string> = {
    PARALLAX_PUBLIC_URL: origin,
    PARALLAX_KEYS: home.keys,
    PARALLAX_SECRET: home.secret,
    // Local probes reach the same brokers as the hub, as long as those ask nobody who they are.
    ...(env.KAFKA_BROKERS && !env.KAFKA_SASL_MECHANISM && !env.KAFKA_TLS && !env.KAFKA_CA
      ? { KAFKA_PROBE_BROKERS: env.KAFKA_BROKERS, KAFKA_PROBE_AUTH: 'none' }
      : {}),
  };
  return Object.fromEntries(Object.entries(ours).map(([name, value]) => [name, env[name] || value]));
}
