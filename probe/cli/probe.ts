import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { Command } from 'commander';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import { type CliContext, Failed, UsageError } from '../../shared/command-line.ts';
import { parseBytes } from '../../shared/duration.ts';
import { probeNameSchema } from '../../shared/enrollment.ts';
import { parseNetworkRule } from '../../shared/network-rule.ts';
import type { ProbeConfig } from '../config.ts';
import { clientCertificate } from '../deliver/client-certificate.ts';
import { openOutbox } from '../deliver/open-outbox.ts';
import { type ProbeParts, runProbe } from '../main.ts';
import { startCheckWorkers } from '../run/check-workers.ts';
import { makeChecker } from '../run/make-checker.ts';
import { measured } from '../run/measured.ts';
import { watchNoise } from '../run/noise.ts';
import { folderProblem } from '../state/data-folder.ts';
import { createLog, type LogLevel, logLevels } from '../watch/log.ts';
import { createMetrics } from '../watch/metrics.ts';
import { serveMetrics } from '../watch/serve-metrics.ts';

interface ProbeFlags {
  readonly hub?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly data?: string;
  readonly name?: string;
  readonly delivery?: string;
  readonly workers?: string;
  readonly capacity?: string;
  readonly allowNetwork?: readonly string[];
  readonly allowProxy?: boolean;
  readonly hubCa?: string;
  readonly kafkaCert?: string;
  readonly kafkaKey?: string;
  readonly metrics?: string;
  readonly logLevel?: string;
  readonly spoolMax?: string;
}

const examples = `
Each flag may be an environment variable instead: PARALLAX_HUB, PARALLAX_ENROLL_TOKEN, PARALLAX_TOKEN_FILE,
PARALLAX_DATA, PARALLAX_NAME, PARALLAX_DELIVERY, PARALLAX_WORKERS, PARALLAX_CAPACITY, PARALLAX_ALLOW_NETWORK
(comma-separated), PARALLAX_ALLOW_PROXY=1, PARALLAX_HUB_CA, PARALLAX_KAFKA_CERT,
PARALLAX_KAFKA_KEY, PARALLAX_METRICS, PARALLAX_LOG_LEVEL, PARALLAX_SPOOL_MAX. HTTPS_PROXY and NO_PROXY lead the way to the hub.

Examples:
  parallax probe --token-file /run/secrets/token --data /var/lib/parallax
  parallax probe --data /var/lib/parallax                  (it enrolled before: no token is asked for)
  parallax probe --token-file token --data data --allow-network 10.0.0.0/8 --allow-network 192.168.1.5:8443
  parallax probe --data data --hub https://hub.internal:8443 --hub-ca internal-ca.pem --metrics 9464`;

export function probeCommand(context: CliContext): Command {
  return new Command('probe')
    .description('run a probe: it enrolls once with a token, then checks what the hub assigns to it')
    .option('--hub URL', 'where the hub is (default: where the token says)')
    .option('--token TOKEN', 'the enrollment token; other users of this machine can see it: better a file')
    .option('--token-file FILE', 'a file that holds the enrollment token')
    .option('--data DIR', 'where it keeps its key, its assignments and its results (default: parallax-probe)')
    .option('--name NAME', "what operators see it as (default: this machine's name)")
    .option('--delivery WAY', 'how results travel: auto, kafka or relay (default: auto)')
    .option('--workers N', 'threads that run checks (default: 1)')
    .option('--capacity N', 'checks a second the hub may give it (default: 1000 a worker)')
    .option(
      '--allow-network CIDR[:PORT]',
      'a private network that it may check (repeatable)',
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .option('--allow-proxy', 'endpoints may name a proxy to be checked through')
    .option('--hub-ca FILE', 'an authority to trust for the hub, as PEM')
    .option('--kafka-cert FILE', "what Kafka's brokers are shown where they ask for a certificate, as PEM")
    .option('--kafka-key FILE', 'its private key, as PEM')
    .option('--metrics [HOST:]PORT', 'serve Prometheus metrics (on loopback unless a host is named)')
    .option('--log-level LEVEL', `${logLevels.join(', ')} (default: info)`)
    .option('--spool-max SIZE', 'most disk that results may take while the hub is away (default: 1GiB)')
    .addHelpText('after', examples)
    .action(async (flags: ProbeFlags) => {
      const config = readConfig(flags, context);
      const level = readLogLevel(flags.logLevel ?? context.env.PARALLAX_LOG_LEVEL ?? 'info');
      const { log: write } = context.terminal;
      const log = createLog(level, write && { write });
      await watch(config, log, context.signal);
    });
}

async function watch(config: ProbeConfig, log: Logger, signal: AbortSignal): Promise<void> {
  const registry = config.metrics ? new Registry() : null;
  const server = registry && config.metrics ? await serveMetrics(registry, config.metrics) : null;
  if (server) log.info({ metrics: `${config.metrics?.host}:${server.port}` }, 'metrics are served');
  try {
    const parts: ProbeParts = {
      log,
      async makeChecker(hubOrigins) {
        const { allowNetworks, allowProxy, env, workers } = config;
        const terms = { allowNetworks, allowProxy, hubOrigins, env };
        return workers > 1
          ? startCheckWorkers(workers, terms, log)
          : measured(await makeChecker(terms), watchNoise());
      },
      openOutbox: (own) =>
        openOutbox({
          ...own,
          delivery: config.delivery,
          kafkaCertificate: config.kafkaCertificate && clientCertificate(config.kafkaCertificate),
          limits: { maxBytes: config.spoolMaxBytes },
          log,
          ...(registry && { registry }),
        }),
      ...(registry && { metrics: createMetrics(registry) }),
    };
    await runProbe(config, parts, signal);
  } catch (error) {
    if (signal.aborted && !(error instanceof Failed)) return;
    if (isOfDisk(error)) throw new Failed(folderProblem(config.dataDir, error), { cause: error });
    throw error;
  } finally {
    await server?.close();
  }
}

function isOfDisk(error: unknown): boolean {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  return code !== undefined && ['open', 'write', 'mkdir', 'fsync', 'rename', 'link'].includes(syscall ?? '');
}

/** Throws UsageError, which names the flag and how to write it. */
export function readConfig(flags: ProbeFlags, { env, cwd }: Pick<CliContext, 'env' | 'cwd'>): ProbeConfig {
  const either = (flag: string | undefined, name: string) => flag ?? (env[`PARALLAX_${name}`] || undefined);
  const hub = either(flags.hub, 'HUB');
  if (hub !== undefined && !isOrigin(hub)) {
    // A password in it is nobody's to read.
    throw new UsageError(`--hub ${hub.includes('@') ? '' : `${hub}: `}write it as https://hub.example`);
  }
  const workers = count(either(flags.workers, 'WORKERS') ?? '1', '--workers', 256);
  const networks = flags.allowNetwork ?? (env.PARALLAX_ALLOW_NETWORK ?? '').split(/[\s,]+/).filter(Boolean);
  for (const network of networks) {
    try {
      parseNetworkRule(network);
    } catch (error) {
      throw new UsageError(`--allow-network ${error instanceof Error ? error.message : network}`);
    }
  }
  const metrics = either(flags.metrics, 'METRICS');
  const hubCa = either(flags.hubCa, 'HUB_CA');
  const name = either(flags.name, 'NAME') ?? hostname();
  // The hub would refuse it after a round trip, with the token already shown.
  if (!probeNameSchema.safeParse(name).success)
    throw new UsageError('--name: 1 to 100 characters that can be seen');
  const capacity = either(flags.capacity, 'CAPACITY');
  return {
    hub: hub ?? null,
    token: readTokenFlags(flags, env, cwd),
    dataDir: resolve(cwd, either(flags.data, 'DATA') ?? 'parallax-probe'),
    name,
    delivery: readDelivery(either(flags.delivery, 'DELIVERY') ?? 'auto'),
    workers,
    capacity: capacity === undefined ? workers * 1000 : count(capacity, '--capacity', 1_000_000),
    allowNetworks: networks,
    allowProxy: flags.allowProxy ?? /^(1|true|yes)$/i.test(env.PARALLAX_ALLOW_PROXY ?? ''),
    hubCaFile: hubCa === undefined ? null : resolve(cwd, hubCa),
    kafkaCertificate: readCertificateFlags(
      either(flags.kafkaCert, 'KAFKA_CERT'),
      either(flags.kafkaKey, 'KAFKA_KEY'),
      cwd,
    ),
    metrics: metrics === undefined ? null : readAddress(metrics),
    spoolMaxBytes: readSize(either(flags.spoolMax, 'SPOOL_MAX') ?? '1GiB'),
    env,
  };
}

function readTokenFlags(
  { token, tokenFile }: ProbeFlags,
  env: CliContext['env'],
  cwd: string,
): ProbeConfig['token'] {
  if (token !== undefined && tokenFile !== undefined) {
    throw new UsageError('--token and --token-file: give one of them');
  }
  if (token !== undefined) return { text: token };
  const file = tokenFile ?? (env.PARALLAX_TOKEN_FILE || undefined);
  if (file !== undefined) return { file: resolve(cwd, file) };
  return env.PARALLAX_ENROLL_TOKEN ? { text: env.PARALLAX_ENROLL_TOKEN } : null;
}

function readCertificateFlags(
  cert: string | undefined,
  key: string | undefined,
  cwd: string,
): ProbeConfig['kafkaCertificate'] {
  if (cert !== undefined && key !== undefined)
    return { certFile: resolve(cwd, cert), keyFile: resolve(cwd, key) };
  if (cert === undefined && key === undefined) return null;
  throw new UsageError(
    `--kafka-cert and --kafka-key go together: ${cert ? '--kafka-key' : '--kafka-cert'} is missing`,
  );
}

function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  return (
    url !== null &&
    ['http:', 'https:'].includes(url.protocol) &&
    url.pathname === '/' &&
    !url.search &&
    !url.username
  );
}

function readDelivery(text: string): ProbeConfig['delivery'] {
  if (text === 'auto' || text === 'kafka' || text === 'relay') return text;
  throw new UsageError(`--delivery ${text}: auto, kafka or relay`);
}

function readLogLevel(text: string): LogLevel {
  const level = logLevels.find((each) => each === text);
  if (!level) throw new UsageError(`--log-level ${text}: one of ${logLevels.join(', ')}`);
  return level;
}

function count(text: string, flag: string, most: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= 1 && number <= most) return number;
  throw new UsageError(`${flag} ${text}: a whole number from 1 to ${most}`);
}

function readSize(text: string): number {
  const bytes = parseBytes(text);
  if (bytes !== null && bytes >= 1_048_576) return bytes;
  throw new UsageError(`--spool-max ${text}: a size of 1MiB or more, like 512MiB or 1GiB`);
}

function readAddress(text: string): { host: string; port: number } {
  const parts = /^(?:(\[[^\]]+\]|[^:]*):)?(\d{1,5})$/.exec(text);
  const port = Number(parts?.[2]);
  if (!parts || port > 65_535) throw new UsageError(`--metrics ${text}: write it as 9464 or 127.0.0.1:9464`);
  return { host: parts[1]?.replace(/^\[|\]$/g, '') || '127.0.0.1', port };
}
