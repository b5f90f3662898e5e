import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Broker, startBroker } from '../../deploy/kafka/broker.ts';
import { findKafka } from '../../deploy/kafka/java.ts';
import { freePort } from '../../hub/process/port.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../hub/store/embedded/start.ts';
import type { Random } from './random.ts';

/** PostgreSQL or Kafka: a server that is started again when it ends, unless somebody holds it down. */
export interface ChaosServer {
  readonly name: 'postgres' | 'kafka';
  readonly dataDir: string;
  pid(): number;
  running(): boolean;
  kill(signal: NodeJS.Signals): void;
  /** Ends it and keeps it down until start(). */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** With other settings, which stay until the next start() with some; waits until it is ready. */
  start(settings?: Readonly<Record<string, string>>): Promise<void>;
}

export interface PostgresServer extends ChaosServer {
  /** The superuser's, straight to the server. */
  url(): string;
  /** Another folder in place of the one it ran on: a restored backup, a replica. It must be down. */
  moveTo(dataDir: string): void;
}

export interface KafkaServer extends ChaosServer {
  /** 'host:port' of the listener that no fault stands in the way of. */
  readonly adminAddress: string;
  port(listener: string): number;
}

interface Engine {
  readonly pid: number;
  readonly exited: Promise<unknown>;
  stop(): Promise<void>;
}

const restartMs = [500, 2000] as const;

/** Keeps one running: what both kinds share. */
function keep<E extends Engine>(
  random: Random,
  begin: (settings: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<E>,
) {
  let engine: E | null = null;
  let wanted = false;
  let settings: Readonly<Record<string, string>> = {};
  let starting: Promise<void> | null = null;
  const stopping = new AbortController();

  async function startNow(): Promise<void> {
    for (let attempt = 1; wanted && engine === null; attempt += 1) {
      try {
        const started = await begin(settings, stopping.signal);
        engine = started;
        void started.exited.then(() => {
          if (engine === started) engine = null;
          void revive();
        });
      } catch (error) {
        if (attempt >= 20 || stopping.signal.aborted) throw error;
        await wait(1000);
      }
    }
  }
  function start(): Promise<void> {
    starting ??= startNow().finally(() => {
      starting = null;
    });
    return starting;
  }
  async function revive(): Promise<void> {
    await wait(random.int(...restartMs));
    if (wanted && engine === null) await start().catch(() => undefined);
  }
  return {
    engine: () => engine,
    pid: () => engine?.pid ?? 0,
    running: () => engine !== null && starting === null,
    kill(signal: NodeJS.Signals) {
      if (engine) process.kill(engine.pid, signal);
    },
    async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM') {
      wanted = false;
      await starting?.catch(() => undefined);
      const last = engine;
      if (!last) return;
      process.kill(last.pid, 'SIGCONT');
      if (signal === 'SIGKILL') process.kill(last.pid, 'SIGKILL');
      else await last.stop();
      await last.exited;
      engine = null;
    },
    async start(changed?: Readonly<Record<string, string>>) {
      if (changed) settings = changed;
      wanted = true;
      await start();
    },
    end: () => stopping.abort(),
  };
}

export async function startPostgres(folder: string, random: Random): Promise<PostgresServer> {
  let dataDir = join(folder, 'postgres');
  const kept = keep<EmbeddedPostgres>(random, (settings, signal) =>
    startEmbeddedPostgres({
      dataDir,
      log: () => undefined,
      signal,
      settings: { max_connections: '60', shared_buffers: '64MB', wal_level: 'replica', ...settings },
    }),
  );
  await kept.start();
  let url = kept.engine()?.url ?? '';
  return {
    ...kept,
    name: 'postgres',
    get dataDir() {
      return dataDir;
    },
    url() {
      url = kept.engine()?.url ?? url;
      return url;
    },
    moveTo(next) {
      dataDir = next;
    },
  };
}

/** One listener for each who connects, advertised where the link to it stands. */
export async function startKafka(
  folder: string,
  random: Random,
  advertised: Readonly<Record<string, number>>,
  ports: Readonly<Record<string, number>>,
): Promise<KafkaServer> {
  const jars = await findKafka(process.env, console.error, AbortSignal.timeout(600_000));
  const dataDir = join(folder, 'kafka');
  await mkdir(dataDir, { recursive: true });
  const admin = await freePort();
  const names = Object.keys(advertised);
  const at = (name: string, port: number | undefined) => `${name}://127.0.0.1:${port}`;
  const kept = keep<Broker>(random, async (settings, signal) => {
    const controller = await freePort();
    return startBroker({
      jars,
      port: admin,
      dataDir,
      signal,
      heapMb: 384,
      properties: {
        'controller.quorum.voters': `1@127.0.0.1:${controller}`,
        listeners: [
          at('ADMIN', admin),
          ...names.map((name) => at(name, ports[name])),
          at('CONTROLLER', controller),
        ].join(),
        'advertised.listeners': [
          at('ADMIN', admin),
          ...names.map((name) => at(name, advertised[name])),
        ].join(),
        'inter.broker.listener.name': 'ADMIN',
        'listener.security.protocol.map': ['ADMIN', ...names, 'CONTROLLER']
          .map((name) => `${name}:PLAINTEXT`)
          .join(),
        'group.min.session.timeout.ms': '1000',
        ...settings,
      },
    });
  });
  await kept.start();
  return {
    ...kept,
    name: 'kafka',
    dataDir,
    adminAddress: `127.0.0.1:${admin}`,
    port: (listener) => ports[listener] ?? admin,
  };
}
