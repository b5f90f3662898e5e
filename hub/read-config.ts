import ipaddr from 'ipaddr.js';
import { parseDuration } from '../shared/duration.ts';
import type { HubConfig } from './config.ts';
import { readSecrets } from './read-secrets.ts';
import { readStore, readText } from './read-store-config.ts';
import { createSettings, type Env, listOf, oneOf, type Settings, setting, wholeNumber } from './settings.ts';
import { listenText, originOf, parseListen } from './up/listen.ts';

/** What `parallax hub` was called with; each goes before its variable. */
export interface HubFlags {
  readonly listen?: string | undefined;
  readonly roles?: string | undefined;
  readonly migrate?: boolean | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly trustedProxy?: readonly string[] | undefined;
}

const roles = ['api', 'ingest', 'judge', 'alert'] as const;
const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const usualListen = { host: '127.0.0.1', port: 7070 };
const listen = setting('an address like 127.0.0.1:7070', parseListen);
const role = listOf(`roles out of ${roles.join(', ')}`, (word) => roles.find((one) => one === word) ?? null);
const origin = setting('an address like https://hub.example, without a path', originFrom);
const path = setting('a path', (text) => text);
const hostName = listOf('host names without a port', (word) =>
  /^(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)$/i.test(word) ? word.toLowerCase() : null,
);
const networks = listOf('networks like 10.0.0.0/8', (word) =>
  ipaddr.isValidCIDR(word) ? word : ipaddr.isValid(word) ? word : null,
);
/**
 * Reads everything the hub can be told, in one place. Throws SettingsError with all that is wrong, each naming its
 * variable or flag and what would be right; no message shows a secret.
 */
export function readHubConfig(
  env: Env,
  flags: HubFlags = {},
  readFile: (path: string) => string = readText,
): HubConfig {
  const settings = createSettings(env, readFile);
  const { read, need } = settings;
  const at = read({ flag: ['--listen', flags.listen], variable: 'PARALLAX_LISTEN' }, listen, usualListen);
  const tls = readTls(settings, flags);
  const { environment, databaseUrl, kafka } = readStore(settings);
  const keysDir = need(
    { variable: 'PARALLAX_KEYS' },
    path,
    "name the folder of the hub's private keys; they are made there at the first start",
  );
  const { secret, alsoSecrets } = readSecrets(settings);
  const retentionDays = read({ variable: 'PARALLAX_RETENTION_DAYS' }, wholeNumber(1, 3650), 7);
  const config = {
    listen: at,
    publicUrl: readPublicUrl(settings, at, tls !== null),
    hosts: read({ variable: 'PARALLAX_HOSTS' }, hostName, []),
    env: environment,
    roles: read({ flag: ['--roles', flags.roles], variable: 'PARALLAX_ROLES' }, role, [...roles]),
    kafka,
    migrate: flags.migrate ?? true,
    alsoSecrets,
    retentionDays,
    leaseTtlSeconds: read({ variable: 'PARALLAX_LEASE_TTL' }, durationWithin('1m', '7d'), 21_600_000) / 1000,
    ingestMaxRows: read({ variable: 'INGEST_MAX_ROWS' }, wholeNumber(1, 50_000), 5000),
    ingestMaxMs: read({ variable: 'INGEST_MAX_MS' }, wholeNumber(0, 5000), 50),
    tls,
    trustedProxies: readProxies(settings, flags),
    logLevel: read({ variable: 'LOG_LEVEL' }, oneOf(logLevels), 'info'),
  };
  if (kafka === null && !config.roles.includes('ingest')) {
    settings.complain(
      '--roles without ingest needs KAFKA_BROKERS: without Kafka, whoever takes results must store them',
    );
  }
  settings.settle();
  if (databaseUrl === undefined || keysDir === undefined || secret === undefined) {
    throw new Error('a setting is missing, and settle() let it pass');
  }
  return { ...config, databaseUrl, keysDir, secret };
}

/** A duration in milliseconds. */
export function durationWithin(least: string, most: string) {
  const [leastMs, mostMs] = [parseDuration(least) ?? 0, parseDuration(most) ?? 0];
  return setting(`a duration from ${least} to ${most}`, (text) => {
    const ms = parseDuration(text);
    return ms !== null && ms >= leastMs && ms <= mostMs ? ms : null;
  });
}

/** Where the hub of this environment listens. Throws SettingsError. */
export function readListen(env: Env): HubConfig['listen'] {
  const settings = createSettings(env, readText);
  const at = settings.read({ variable: 'PARALLAX_LISTEN' }, listen, usualListen);
  settings.settle();
  return at;
}

/** Where browsers find the hub, for commands that stand beside it. Throws SettingsError. */
export function readPublicOrigin(env: Env): string {
  const settings = createSettings(env, readText);
  const at = settings.read({ variable: 'PARALLAX_LISTEN' }, listen, usualListen);
  const url = readPublicUrl(settings, at, false);
  settings.settle();
  return url;
}

function readPublicUrl(settings: Settings, at: HubConfig['listen'], tls: boolean): string {
  const local = originOf(at).replace(/^http:/, tls ? 'https:' : 'http:');
  const known = /^(127\.|localhost$|::1$)/.test(at.host) && at.port !== 0;
  if (known) return settings.read({ variable: 'PARALLAX_PUBLIC_URL' }, origin, local);
  const missing = `the hub listens on ${listenText(at)}, and probes and browsers must be told where to find it, such as https://hub.example`;
  return settings.need({ variable: 'PARALLAX_PUBLIC_URL' }, origin, missing) ?? local;
}

function readTls(settings: Settings, flags: HubFlags): HubConfig['tls'] {
  const place = (flag: string, value: string | undefined, variable: string) =>
    settings.read<string | null>({ flag: [flag, value], variable }, path, null);
  const certFile = place('--tls-cert', flags.tlsCert, 'PARALLAX_TLS_CERT');
  const keyFile = place('--tls-key', flags.tlsKey, 'PARALLAX_TLS_KEY');
  if (certFile !== null && keyFile !== null) return { certFile, keyFile };
  if (certFile !== null || keyFile !== null) {
    settings.complain(
      `--tls-cert and --tls-key go together: ${certFile ? '--tls-key' : '--tls-cert'} is missing`,
    );
  }
  return null;
}

function readProxies(settings: Settings, { trustedProxy }: HubFlags): string[] {
  const flag = trustedProxy && trustedProxy.length > 0 ? trustedProxy.join(',') : undefined;
  return settings.read(
    { flag: ['--trusted-proxy', flag], variable: 'PARALLAX_TRUSTED_PROXIES' },
    networks,
    [],
  );
}

function originFrom(text: string): string | null {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol)) return null;
  const bare = url.pathname === '/' && !url.search && !url.hash && !url.username && !url.password;
  return bare ? url.origin : null;
}
