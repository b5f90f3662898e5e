import { hostname, setPriority } from 'node:os';
import { resolve } from 'node:path';
import { Command } from 'commander';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import { type CliContext, Failed, UsageError } from '../../shared/command-line.ts';
import { formatBytes, parseBytes } from '../../shared/duration.ts';
import { probeNameSchema } from '../../shared/enrollment.ts';
import { parseNetworkRule } from '../../shared/network-rule.ts';
import type { ProbeConfig } from '../config.ts';
import { clientCertificate } from '../deliver/client-certificate.ts';
import { openOutbox } from '../deliver/open-outbox.ts';
import { type ProbeParts, runProbe } from '../main.ts';
import { parseNetworkTerms } from '../network/anchors.ts';
import { startCheckWorkers } from '../run/check-workers.ts';
import { makeChecker } from '../run/make-checker.ts';
import { measured } from '../run/measured.ts';
import { watchNoise } from '../run/noise.ts';
import { folderProblem } from '../state/data-folder.ts';
import { runtime } from '../version.ts';
import { createLog, type LogLevel, logLevels } from '../watch/log.ts';
import { createMetrics } from '../watch/metrics.ts';
import { runtimeLacks } from '../watch/runtime-lacks.ts';
import { serveMetrics } from '../watch/serve-metrics.ts';
import {
  addProbeSettings,
  type Given,
  givenSettings,
  type ProbeFlags,
  type SettingName,
} from './probe-settings.ts';

const examples = `
Each flag but --config and --once may be an environment variable instead (--allow-network is PARALLAX_ALLOW_NETWORK,
with commas; --token is PARALLAX_ENROLL_TOKEN; --config itself is PARALLAX_CONFIG) or a key of the YAML file that --config names
(\`allow-network: [10.0.0.0/8]\`). What a flag says counts before the environment, and that before the file.
HTTPS_PROXY and NO_PROXY lead the way to the hub.

Examples:
  parallax probe --token-file /run/secrets/token --data /var/lib/parallax
  parallax probe --data /var/lib/parallax                  (it enrolled before: no token is asked for)
  parallax probe --token-file token --data data --allow-network 10.0.0.0/8 --allow-network 192.168.1.5:8443
  parallax probe --config /etc/parallax/probe.yaml
  parallax probe --data data --once                        (for cron: everything once, then it ends)
  parallax probe --data data --hub https://hub.internal:8443 --hub-ca internal-ca.pem --metrics 9464`;

export function probeCommand(context: CliContext): Command {
  const command = new Command('probe')
    .description('run a probe: it enrolls once with a token, then checks what the hub assigns to it')
    .option('--config FILE', 'a YAML file of these settings')
    .option(
      '--once',
      'check everything that the hub assigns to it once, deliver that and end: 1 where something is down',
    );
  return addProbeSettings(command)
    .addHelpText('after', examples)
    .action(async (flags: ProbeFlags) => {
      const given = givenSettings(flags, context);
      const config = readConfig(given, flags.once ?? false, context);
      const level = readLogLevel(given.text('logLevel') ?? 'info');
      const { log: write } = context.terminal;
      const log = createLog(level, write && { write });
      await watch(config, log, context.signal);
    });
}

async function watch(config: ProbeConfig, log: Logger, signal: AbortSignal): Promise<void> {
  if (config.nice !== null) beNice(config.nice);
  const registry = config.metrics ? new Registry() : null;
  const server = registry && config.metrics ? await serveMetrics(registry, config.metrics) : null;
  const lacks = await runtimeLacks();
  if (lacks.length > 0)
    log.warn({ runtime: runtime(), lacks }, 'this runtime lacks what a probe can do without');
  if (server) log.info({ metrics: `${config.metrics?.host}:${server.port}` }, 'metrics are served');
  try {
    const parts: ProbeParts = {
      log,
      async makeChecker(given) {
        const { allowNetworks, allowProxy, env, workers, contact } = config;
        const terms = { allowNetworks, allowProxy, env, contact, ...given };
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

function beNice(nice: number): void {
  try {
    setPriority(nice);
  } catch (error) {
    throw new Failed(`--nice ${nice}: ${error instanceof Error ? error.message : error}`);
  }
}

function isOfDisk(error: unknown): boolean {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  return code !== undefined && ['open', 'write', 'mkdir', 'fsync', 'rename', 'link'].includes(syscall ?? '');
}

/** Throws UsageError, which names the flag and how to write it. */
export function readConfig(
  given: Given,
  once: boolean,
  { env, cwd }: Pick<CliContext, 'env' | 'cwd'>,
): ProbeConfig {
  const { text } = given;
  const path = (name: SettingName) => {
    const file = text(name);
    return file === null ? null : resolve(cwd, file);
  };
  const hub = text('hub');
  if (hub !== null && !isOrigin(hub)) {
    // A password in it is nobody's to read.
    throw new UsageError(`--hub ${hub.includes('@') ? '' : `${hub}: `}write it as https://hub.example`);
  }
  const workers = count(text('workers') ?? '1', '--workers', 256);
  const allowNetworks = given.list('allowNetwork');
  for (const network of allowNetworks) {
    try {
      parseNetworkRule(network);
    } catch (error) {
      throw new UsageError(`--allow-network ${error instanceof Error ? error.message : network}`);
    }
  }
  const name = text('name') ?? hostname();
  // The hub would refuse it after a round trip, with the token already shown.
  if (!probeNameSchema.safeParse(name).success)
    throw new UsageError('--name: 1 to 100 characters that can be seen');
  const [capacity, maxRate, maxMemory, nice] = [
    text('capacity'),
    text('maxRate'),
    text('maxMemory'),
    text('nice'),
  ];
  const metrics = text('metrics');
  return {
    hub,
    token: readTokenSettings(given, path('tokenFile')),
    dataDir: path('data') ?? resolve(cwd, 'parallax-probe'),
    name,
    delivery: readDelivery(text('delivery') ?? 'auto'),
    workers,
    capacity: capacity === null ? workers * 1000 : count(capacity, '--capacity', 1_000_000),
    maxRate: maxRate === null ? null : count(maxRate, '--max-rate', 1_000_000),
    maxMemoryBytes: maxMemory === null ? null : readSize('--max-memory', maxMemory, 64 * 1_048_576),
    nice: nice === null ? null : readNice(nice),
    contact: readUrl('--contact', text('contact'), ['http:', 'https:', 'mailto:']),
    allowNetworks,
    allowProxy: given.on('allowProxy'),
    network: readNetworkSettings(given),
    hubCaFile: path('hubCa'),
    kafkaCertificate: readCertificateSettings(path('kafkaCert'), path('kafkaKey')),
    metrics: metrics === null ? null : readAddress(metrics),
    orphanWebhook: readUrl('--orphan-webhook', text('orphanWebhook'), ['http:', 'https:']),
    spoolMaxBytes: readSize('--spool-max', text('spoolMax') ?? '1GiB', 1_048_576),
    once,
    env,
  };
}

function readTokenSettings(given: Given, tokenFile: string | null): ProbeConfig['token'] {
  if (given.isFlag('token') && given.isFlag('tokenFile'))
    throw new UsageError('--token and --token-file: give one of them');
  const token = given.text('token');
  // A flag counts before what stands in the environment or the file.
  if (tokenFile !== null && (given.isFlag('tokenFile') || !given.isFlag('token'))) return { file: tokenFile };
  return token === null ? null : { text: token };
}

function readNetworkSettings(given: Given): ProbeConfig['network'] {
  try {
    return parseNetworkTerms({
      anchors: given.list('anchor'),
      canaryDomains: given.list('canaryDomain'),
      knownPage: given.text('knownPage'),
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function readCertificateSettings(
  certFile: string | null,
  keyFile: string | null,
): ProbeConfig['kafkaCertificate'] {
  if (certFile !== null && keyFile !== null) return { certFile, keyFile };
  if (certFile === null && keyFile === null) return null;
  throw new UsageError(
    `--kafka-cert and --kafka-key go together: ${certFile ? '--kafka-key' : '--kafka-cert'} is missing`,
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

function readSize(flag: string, text: string, least: number): number {
  const bytes = parseBytes(text);
  if (bytes !== null && bytes >= least) return bytes;
  throw new UsageError(`${flag} ${text}: a size of ${formatBytes(least)} or more, like 512MiB or 1GiB`);
}

function readNice(text: string): number {
  const nice = Number(text);
  if (/^\d+$/.test(text) && nice <= 19) return nice;
  throw new UsageError(`--nice ${text}: a whole number from 0 to 19`);
}

/** What stands in a URL's query or before an @ may be a secret: it is not shown. */
function readUrl(flag: string, text: string | null, protocols: readonly string[]): string | null {
  if (text === null) return null;
  const url = URL.parse(text);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (url && protocols.includes(url.protocol) && text.length <= 2048 && !/[\u0000-\u0020\u007f()]/.test(text))
    return text;
  throw new UsageError(
    `${flag}: write it as ${protocols.at(-1)}${protocols.at(-1) === 'mailto:' ? '' : '//'}… without spaces`,
  );
}

function readAddress(text: string): { host: string; port: number } {
  const parts = /^(?:(\[[^\]]+\]|[^:]*):)?(\d{1,5})$/.exec(text);
  const port = Number(parts?.[2]);
  if (!parts || port > 65_535) throw new UsageError(`--metrics ${text}: write it as 9464 or 127.0.0.1:9464`);
  return { host: parts[1]?.replace(/^\[|\]$/g, '') || '127.0.0.1', port };
}
