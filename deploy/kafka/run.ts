// npm run kafka: a single-node Apache Kafka on loopback, until Ctrl-C.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startBroker } from './broker.ts';
import { findKafka } from './java.ts';

const usage = `npm run kafka -- [--port 9092] [--data .kafka]

Starts a single-node Apache Kafka 4 (KRaft) on 127.0.0.1, until Ctrl-C. Its data stays in --data.
KAFKA_HOME names an unpacked Apache Kafka 4; without it the jars come from Maven Central.
JAVA_HOME names a Java 17 or newer; without it the one on the PATH runs it.`;

function readOptions(): { port: number; data: string } | string {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string', default: '9092' },
        data: { type: 'string', default: '.kafka' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return '';
    const port = Number(values.port);
    if (!Number.isInteger(port) || port < 1 || port > 65_535) return `--port ${values.port}: not a port`;
    return { port, data: resolve(values.data) };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
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
    const broker = await startBroker({
      jars,
      port: options.port,
      dataDir: options.data,
      signal: stopping.signal,
    });
    say(`ready on ${broker.address} (process ${broker.pid}), data in ${options.data}; Ctrl-C stops it`);
    say(`in another terminal: KAFKA_BROKERS=${broker.address} npm start`);
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
