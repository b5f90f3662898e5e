// npm run kafka: a single-node Apache Kafka on loopback, until Ctrl-C.
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { openSetup } from '../../hub/ingest/cluster-setup.ts';
import { readKafkaSettings } from '../../hub/read-store-config.ts';
import { type Broker, startBroker } from './broker.ts';
import { holders } from './credentials.ts';
import { findKafka, type KafkaJars } from './java.ts';
import { type SecureBroker, startSecureBroker } from './secure.ts';

const usage = `npm run kafka -- [--port 9092] [--data .kafka] [--secure [--probe-port 9093] [--hub http://127.0.0.1:7070]]

Starts a single-node Apache Kafka 4 (KRaft) on 127.0.0.1, until Ctrl-C. Its data stays in --data.
KAFKA_HOME names an unpacked Apache Kafka 4; without it the jars come from Maven Central.
JAVA_HOME names a Java 17 or newer; without it the one on the PATH runs it.

--secure: TLS with an authority of its own, kept in --data and renewed by itself. --port is for the hub, which shows a
certificate; --probe-port for probes, which show tokens of the hub at --hub. Topics, ACLs and quotas are set up for
PARALLAX_ENV (dev). What a hub must be told is written to hub.env in --data. Either may be started first.`;

interface Options {
  readonly port: number;
  readonly data: string;
  readonly secure: boolean;
  readonly probePort: number;
  readonly hub: string;
}

function readOptions(): Options | string {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string', default: '9092' },
        data: { type: 'string', default: '.kafka' },
        secure: { type: 'boolean', default: false },
        'probe-port': { type: 'string', default: '9093' },
        hub: { type: 'string', default: 'http://127.0.0.1:7070' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return '';
    const hub = URL.parse(values.hub);
    if (hub === null || !/^https?:$/.test(hub.protocol))
      return `--hub ${values.hub}: write it as https://hub.example`;
    for (const flag of ['port', 'probe-port'] as const) {
      const port = Number(values[flag]);
      if (!Number.isInteger(port) || port < 1 || port > 65_535)
        return `--${flag} ${values[flag]}: not a port`;
    }
    if (values.secure && values.port === values['probe-port'])
      return '--port and --probe-port: two are needed';
    return {
      port: Number(values.port),
      data: resolve(values.data),
      secure: values.secure,
      probePort: Number(values['probe-port']),
      hub: hub.origin,
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

type Say = (line: string) => void;

async function startOpen(
  { port, data }: Options,
  jars: KafkaJars,
  signal: AbortSignal,
  say: Say,
): Promise<Broker> {
  const broker = await startBroker({ jars, port, dataDir: data, signal });
  say(`ready on ${broker.address} (process ${broker.pid}), data in ${data}; Ctrl-C stops it`);
  say(`in another terminal: KAFKA_BROKERS=${broker.address} npm start`);
  return broker;
}

async function startSecure(
  options: Options,
  jars: KafkaJars,
  signal: AbortSignal,
  say: Say,
): Promise<Broker> {
  const { data, hub } = options;
  const broker = await startSecureBroker({ ...options, jars, dataDir: data, signal });
  try {
    const { made } = broker.credentials;
    if (made.length > 0) say(`certificates made in ${join(data, 'tls')}: ${made.join(', ')}`);
    await setUp(broker, say);
  } catch (error) {
    await broker.stop();
    throw error;
  }
  say(`ready (process ${broker.pid}), data in ${data}; Ctrl-C stops it`);
  say(`for the hub, by its certificate:      ${broker.address}`);
  say(`for probes, by tokens of ${hub}: ${broker.probeAddress}`);
  say(`a hub is told by --env-file ${join(data, 'hub.env')}:`);
  for (const [name, value] of Object.entries(broker.env.hub)) console.log(`  ${name}=${value}`);
  say(`in another terminal: npm start -- --env-file ${join(data, 'hub.env')}`);
  return broker;
}

/** Topics, ACLs and quotas, as \`parallax kafka setup --yes\` makes them. */
async function setUp(broker: SecureBroker, say: Say): Promise<void> {
  const { PARALLAX_ENV, KAFKA_PARTITIONS, KAFKA_RETENTION } = process.env;
  const { kafka, environment } = readKafkaSettings({
    PARALLAX_ENV,
    KAFKA_PARTITIONS,
    KAFKA_RETENTION,
    ...broker.env.admin,
  });
  if (!kafka) throw new Error('the broker has no address');
  const setup = openSetup(kafka, pino({ level: 'silent' }));
  const { steps } = await setup.plan({
    config: kafka,
    env: environment,
    hubPrincipal: `User:${holders.hub.commonName}`,
    probePrincipals: ['User:*'],
    probeBytesPerSecond: 1024 ** 2,
  });
  for (const step of steps.filter(({ state }) => state === 'missing')) {
    await setup.apply(step);
    say(`made: ${step.what}`);
  }
}

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') {
    if (options) console.error(`kafka: ${options}\n`);
    console.log(usage);
    return options ? 2 : 0;
  }
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
  const say = (line: string) => console.log(`kafka: ${line}`);
  try {
    const jars = await findKafka(process.env, say, stopping.signal);
    say(`starting on 127.0.0.1:${options.port} with ${jars.from}`);
    const start = options.secure ? startSecure : startOpen;
    const broker = await start(options, jars, stopping.signal, say);
    const stopped = new Promise<'asked'>((done) => {
      if (stopping.signal.aborted) done('asked');
      stopping.signal.addEventListener('abort', () => done('asked'));
    });
    const end = await Promise.race([stopped, broker.exited]);
    if (end === 'asked') {
      say('stopping');
      await broker.stop();
      say('stopped');
      return 0;
    }
    console.error(
      `kafka: the broker ended by itself (${end.signal ?? end.code}): see ${options.data}/kafka.log`,
    );
    return 1;
  } catch (error) {
    if (stopping.signal.aborted) return 0;
    console.error(`kafka: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

process.exitCode = await main();
