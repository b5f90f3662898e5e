import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePort } from '../../hub/process/port.ts';
import { endsWithin } from '../../hub/process/tethered.ts';
import { type Database, openDatabase } from '../../hub/store/database.ts';
import { createApiToken } from '../../hub/trust/api-tokens.ts';
import { readHubKeys } from '../../hub/trust/load-keys.ts';
import { until } from '../hub/ingest/until.ts';
import { type LeaseWitness, watchLeases } from './lease-witness.ts';
import { type Liar, makeLiar } from './liar.ts';
import { type Link, openLink } from './link.ts';
import { type Launch, type ManagedProcess, manage, runToEnd } from './process.ts';
import type { Random } from './random.ts';
import { type KafkaServer, type PostgresServer, startKafka, startPostgres } from './servers.ts';
import { type SpoolWitness, witnessSpools } from './spools.ts';
import { startTargets, type Targets } from './targets.ts';

export interface ChaosProbe extends ManagedProcess {
  readonly region: string;
  readonly dataDir: string;
  /** How it is started, for a second one. */
  launch(): Launch;
}

/** Everything that runs, and every way to lay hands on it. */
export interface ChaosNetwork {
  /** All of it lies here: data, logs, what witnesses keep. */
  readonly folder: string;
  readonly hubs: readonly ManagedProcess[];
  readonly probes: readonly ChaosProbe[];
  readonly postgres: PostgresServer;
  readonly kafka: KafkaServer;
  readonly targets: Targets;
  /** `probe-a-1>hub`, `probes>kafka`, `hub-1>kafka`, `hub-1>postgres`, `probes>target` and so on. */
  readonly links: ReadonlyMap<string, Link>;
  readonly spools: SpoolWitness;
  readonly leases: LeaseWitness;
  readonly liar: Liar;
  /** One more probe, enrolled and not started: for a fault that needs one to lose. */
  guest(region: string, name: string): Promise<ChaosProbe>;
  /** Has the liar lie once in every way, in the name of a probe that is drawn. */
  lie(random: Random): Promise<void>;
  /** Straight to PostgreSQL, for the checker and for faults. */
  readonly db: () => Database;
  readonly topic: string;
  readonly env: NodeJS.ProcessEnv;
  /** Folder of the bundles that everybody runs. */
  readonly bundles: string;
  /** Runs a command of the binary as an operator would, straight to the hubs. */
  cli(args: readonly string[]): Promise<string>;
  say(line: string): void;
  /** Stops all of it, whatever state it is in. */
  close(): Promise<void>;
}

export interface NetworkOptions {
  readonly folder: string;
  /** Checks a second over both regions. */
  readonly rate: number;
  readonly random: Random;
  /** Folder of the bundles of hubs and probes: dist/, or a patched build. */
  readonly bundles: string;
  readonly hubEnv?: Readonly<Record<string, string>>;
  readonly probeEnv?: Readonly<Record<string, string>>;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** What closes later than this is left to end by itself: its process ends with ours. */
const closeMs = 10_000;

const topic = 'dev.parallax.results.v1';
export const regions = ['a', 'b'] as const;
const probesPerRegion = 2;
const hubCount = 2;

/** Two hub replicas, four probes in two regions, Kafka, PostgreSQL and targets, each link through a proxy of ours. */
export async function startNetwork(options: NetworkOptions): Promise<ChaosNetwork> {
  const { folder, rate, random, bundles, say, signal } = options;
  await mkdir(folder, { recursive: true });
  const closing: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const end of closing.splice(0).reverse()) {
      const ended = end().catch(() => undefined);
      await endsWithin(ended, closeMs);
    }
  };
  try {
    const links = new Map<string, Link>();
    async function link(
      name: string,
      targets: () => readonly { host: string; port: number }[],
      onAnswer?: (bytes: Buffer, connection: number) => void,
    ): Promise<Link> {
      const made = await openLink({
        name,
        random: random.split(name),
        targets,
        ...(onAnswer && { onAnswer }),
      });
      links.set(name, made);
      closing.push(() => made.close());
      return made;
    }
    const local = (port: number) => [{ host: '127.0.0.1', port }];

    say('PostgreSQL and Kafka');
    const postgres = await startPostgres(folder, random.split('postgres'));
    closing.push(() => postgres.stop('SIGKILL'));
    const listeners = ['HUB1', 'HUB2', 'PROBES'];
    const kafkaPorts = Object.fromEntries(
      await Promise.all(listeners.map(async (name) => [name, await freePort()] as const)),
    );
    const kafkaLinks = new Map<string, Link>();
    for (const [listener, name] of [
      ['HUB1', 'hub-1>kafka'],
      ['HUB2', 'hub-2>kafka'],
      ['PROBES', 'probes>kafka'],
    ] as const) {
      kafkaLinks.set(listener, await link(name, () => local(kafkaPorts[listener] ?? 0)));
    }
    const advertised = Object.fromEntries([...kafkaLinks].map(([name, { port }]) => [name, port]));
    const kafka = await startKafka(folder, random.split('kafka'), advertised, kafkaPorts);
    closing.push(() => kafka.stop('SIGKILL'));

    const targets = await startTargets(random.split('targets'));
    closing.push(() => targets.close());
    const targetLink = await link('probes>target', () => local(targets.port));

    const hubPorts = await Promise.all(Array.from({ length: hubCount }, () => freePort()));
    const toHubs = () => hubPorts.map((port) => ({ host: '127.0.0.1', port }));
    const front = await link('front', toHubs);
    const publicUrl = `http://127.0.0.1:${front.port}`;
    const secret = randomBytes(32).toString('base64');
    const base: NodeJS.ProcessEnv = { PATH: process.env.PATH, HOME: folder, NO_COLOR: '1', TZ: 'UTC' };
    const behind = (url: string, port: number) => {
      const address = new URL(url);
      address.port = String(port);
      return address.href;
    };
    const hubEnv = (databaseUrl: string, kafkaAddress: string): NodeJS.ProcessEnv => ({
      ...base,
      DATABASE_URL: databaseUrl,
      PARALLAX_KEYS: join(folder, 'keys'),
      PARALLAX_SECRET: secret,
      PARALLAX_PUBLIC_URL: publicUrl,
      KAFKA_BROKERS: kafkaAddress,
      KAFKA_PARTITIONS: '8',
      KAFKA_PROBE_BROKERS: `127.0.0.1:${advertised.PROBES}`,
      KAFKA_PROBE_AUTH: 'none',
      KAFKA_PROBE_TLS: '0',
      LOG_LEVEL: 'info',
      // The least there is: a probe that is cut off must stop within a round.
      PARALLAX_LEASE_TTL: '1m',
      ...options.hubEnv,
    });
    const command = (args: readonly string[], env: NodeJS.ProcessEnv, dir = bundles): Launch => ({
      file: process.execPath,
      args: [join(dir, 'parallax.js'), ...args],
      env,
      cwd: folder,
    });

    signal.throwIfAborted();
    say('the schema and the topics');
    await runToEnd(command(['migrate', 'up'], hubEnv(postgres.url(), kafka.adminAddress)));

    const hubs: ManagedProcess[] = [];
    for (let at = 1; at <= hubCount; at += 1) {
      const toPostgres = await link(`hub-${at}>postgres`, () => [
        { host: '127.0.0.1', port: Number(new URL(postgres.url()).port) },
      ]);
      const hub = await manage({
        name: `hub-${at}`,
        logFile: join(folder, `hub-${at}.log`),
        random: random.split(`hub-${at}`),
        launch: () =>
          command(
            ['hub', '--listen', `127.0.0.1:${hubPorts[at - 1]}`],
            hubEnv(behind(postgres.url(), toPostgres.port), `127.0.0.1:${advertised[`HUB${at}`]}`),
          ),
      });
      hubs.push(hub);
      closing.push(() => hub.destroy());
      await hub.start();
      // The first makes the keys that the others read.
      const ready = () =>
        fetch(`http://127.0.0.1:${hubPorts[at - 1]}/readyz`).then(
          ({ ok }) => ok,
          () => false,
        );
      await until(ready, 60_000).catch(async () => {
        throw new Error(`${hub.name} is not ready: ${(await readFile(hub.logFile, 'utf8')).slice(-2000)}`);
      });
    }

    let db = openDatabase({ url: postgres.url(), maxConnections: 4, applicationName: 'chaos' });
    let dbUrl = postgres.url();
    closing.push(() => db.end());
    const database = () => {
      if (dbUrl !== postgres.url()) {
        void db.end();
        dbUrl = postgres.url();
        db = openDatabase({ url: dbUrl, maxConnections: 4, applicationName: 'chaos' });
      }
      return db;
    };

    signal.throwIfAborted();
    say('endpoints and probes');
    const keys = await readHubKeys(join(folder, 'keys'));
    const { token } = await createApiToken(db, keys, {
      name: 'chaos',
      scopes: ['admin', 'write', 'read'],
      regions: null,
      expiresAt: null,
      createdBy: 'chaos',
    });
    const operator = { ...base, PARALLAX_HUB: publicUrl, PARALLAX_TOKEN: token };
    const cli = (args: readonly string[]) => runToEnd(command(args, operator));
    const enrollment = async (region: string) => (await cli(['enroll', '--region', region])).trim();
    // A region is there with its first enrollment token.
    for (const region of regions) await enrollment(region);
    const file = join(folder, 'endpoints.yaml');
    await writeFile(file, stringify({ endpoints: endpointsFor(rate, targetLink.port, targets.decoyPort) }));
    await cli(['endpoints', 'apply', file, '--source', 'chaos']);

    const leases = watchLeases(database);
    closing.push(() => leases.stop());
    const spools = await witnessSpools(join(folder, 'witness'));
    closing.push(() => spools.stop());
    async function makeProbe(region: string, name: string): Promise<ChaosProbe> {
      const dataDir = join(folder, 'probes', name);
      const token = await enrollment(region);
      const toHub = await link(`probe-${name}>hub`, toHubs, leases.sees);
      const launch = () =>
        command(
          [
            'probe',
            ...['--hub', `http://127.0.0.1:${toHub.port}`],
            ...['--data', dataDir, '--name', name],
            ...['--allow-network', `127.0.0.1/32:${targetLink.port}`],
          ],
          { ...base, PARALLAX_ENROLL_TOKEN: token, ...options.probeEnv },
        );
      const probe = await manage({
        name: `probe-${name}`,
        logFile: join(folder, `probe-${name}.log`),
        random: random.split(name),
        launch,
      });
      spools.watch(probe.name, join(dataDir, 'spool'));
      closing.push(() => probe.destroy());
      return { ...probe, region, dataDir, launch };
    }
    const probes: ChaosProbe[] = [];
    for (const region of regions) {
      for (let at = 1; at <= probesPerRegion; at += 1)
        probes.push(await makeProbe(region, `${region}-${at}`));
    }
    signal.throwIfAborted();
    for (const probe of probes) await probe.start();
    const liar = await makeLiar({
      hub: publicUrl,
      token: await enrollment('b'),
      folder: join(folder, 'liar'),
      kafka: kafka.adminAddress,
      topic,
      random: random.split('liar'),
    });

    async function lie(drawn: Random): Promise<void> {
      const honest = await database().many<{ probeId: number; kid: string; regionId: number }>(
        `select id as "probeId", thumbprint as kid, region_id as "regionId" from probes
         where name <> 'liar' and region_id <> (select region_id from probes where name = 'liar') order by id`,
      );
      const { id } = await database().one<{ id: number }>(
        "select min(id)::int8 as id from endpoints where deleted_at is null and name like 'ok-%'",
      );
      await liar.lie({ ...drawn.pick(honest), endpointId: id });
    }

    return {
      folder,
      hubs,
      probes,
      postgres,
      kafka,
      targets,
      links,
      spools,
      leases,
      liar,
      lie,
      guest: makeProbe,
      db: database,
      topic,
      env: hubEnv(postgres.url(), kafka.adminAddress),
      bundles,
      cli,
      say,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Each is checked once a second: half as many endpoints as checks a second in both regions, apart from a tenth for each
 * region alone; and a tenth of each unhealthy kind.
 */
function endpointsFor(rate: number, port: number, decoyPort: number): object[] {
  const count = Math.max(10, Math.round(rate / (0.9 * regions.length)));
  const kindOf = (at: number) => ['failing', 'slow', 'mixed'][at % 10] ?? 'ok';
  const only = (at: number) => regions[(at % 20) - 10];
  const common = { interval: '1s', timeout: '700ms', retries: { count: 0 } };
  return [
    ...Array.from({ length: count }, (_, at) => ({
      ...common,
      name: only(at) ? `only-${only(at)}-${at}` : `${kindOf(at)}-${at}`,
      url: `http://127.0.0.1:${port}/${kindOf(at)}/${at}`,
      ...(only(at) && { regions: [only(at)] }),
    })),
    // Nobody named these networks to a probe: not a connection may leave for them.
    ...[`127.0.0.1:${decoyPort}`, `localhost:${decoyPort}`, `[::ffff:127.0.0.1]:${decoyPort}`].map(
      (host, at) => ({ name: `decoy-${at}`, url: `http://${host}/`, interval: '5s', timeout: '700ms' }),
    ),
  ];
}
