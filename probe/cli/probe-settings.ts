import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { type CliContext, UsageError } from '../../shared/command-line.ts';
import { nearest, pathText } from '../../shared/document-problem.ts';
import { readYaml, type YamlSource } from '../../shared/yaml-source.ts';
import { logLevels } from '../watch/log.ts';

interface Setting {
  /** As `--help` writes it; its long name is also the key in a file. */
  readonly flag: string;
  readonly help: string;
  /** Environment variable; by default PARALLAX_ and the flag's name. */
  readonly variable?: string;
  readonly kind?: 'text' | 'list' | 'switch';
}

/** Everything that a probe can be told: on the command line, else in the environment, else in the file of --config. */
export const probeSettings = {
  hub: { flag: '--hub URL', help: 'where the hub is (default: where the token says)' },
  token: {
    flag: '--token TOKEN',
    help: 'the enrollment token; other users of this machine can see it: better a file',
    variable: 'PARALLAX_ENROLL_TOKEN',
  },
  tokenFile: { flag: '--token-file FILE', help: 'a file that holds the enrollment token' },
  data: {
    flag: '--data DIR',
    help: 'where it keeps its key, its assignments and its results (default: parallax-probe)',
  },
  name: { flag: '--name NAME', help: "what operators see it as (default: this machine's name)" },
  delivery: { flag: '--delivery WAY', help: 'how results travel: auto, kafka or relay (default: auto)' },
  workers: { flag: '--workers N', help: 'threads that run checks (default: 1)' },
  capacity: {
    flag: '--capacity N',
    help: 'checks a second the hub may give it (default: 1000 a worker)',
  },
  maxRate: {
    flag: '--max-rate N',
    help: 'checks a second that it never exceeds, whatever the hub gives it (default: no such limit)',
  },
  maxMemory: {
    flag: '--max-memory SIZE',
    help: 'memory above which it checks less, like 150MiB (default: no such limit)',
  },
  nice: { flag: '--nice N', help: 'its priority, 0 to 19, lowest last (default: as it was started)' },
  contact: {
    flag: '--contact URL',
    help: 'whom the owners of what it checks may ask: stands in its User-Agent',
  },
  allowNetwork: {
    flag: '--allow-network CIDR[:PORT]',
    help: 'a private network that it may check (repeatable)',
    kind: 'list',
  },
  allowProxy: {
    flag: '--allow-proxy',
    help: 'endpoints may name a proxy to be checked through',
    kind: 'switch',
  },
  anchor: {
    flag: '--anchor HOST[:PORT]',
    help: 'what proves its network while the hub is away: a place that answers TCP (repeatable; port 443 by default)',
    kind: 'list',
  },
  canaryDomain: {
    flag: '--canary-domain DOMAIN',
    help: 'a domain under which no unknown name exists: DNS that finds one there makes it up (repeatable)',
    kind: 'list',
  },
  knownPage: {
    flag: '--known-page URL[#TEXT]',
    help: 'a page over plain http that says this text, or answers 204: where it does not, a captive portal answers',
  },
  hubCa: { flag: '--hub-ca FILE', help: 'an authority to trust for the hub, as PEM' },
  kafkaCert: {
    flag: '--kafka-cert FILE',
    help: "what Kafka's brokers are shown where they ask for a certificate, as PEM",
  },
  kafkaKey: { flag: '--kafka-key FILE', help: 'its private key, as PEM' },
  metrics: {
    flag: '--metrics [HOST:]PORT',
    help: 'serve Prometheus metrics (on loopback unless a host is named)',
  },
  orphanWebhook: {
    flag: '--orphan-webhook URL',
    help: 'told by POST when the hub was away for 5 minutes, and when it is back',
  },
  logLevel: { flag: '--log-level LEVEL', help: `${logLevels.join(', ')} (default: info)` },
  spoolMax: {
    flag: '--spool-max SIZE',
    help: 'most disk that results may take while the hub is away (default: 1GiB)',
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof probeSettings;
const names = Object.keys(probeSettings) as SettingName[];

/** As commander reads them. */
export type ProbeFlags = { readonly [name in SettingName]?: string | boolean | readonly string[] } & {
  readonly config?: string;
  readonly once?: boolean;
};

/** What was given for each setting, wherever it was; null where it was not. */
export interface Given {
  text(name: SettingName): string | null;
  list(name: SettingName): readonly string[];
  on(name: SettingName): boolean;
  /** From the command line alone: where two settings shut each other out. */
  isFlag(name: SettingName): boolean;
}

const longOf = (name: SettingName) => /^--([a-z-]+)/.exec(probeSettings[name].flag)?.[1] ?? name;
const settingOf = (name: SettingName): Setting => probeSettings[name];

/** The environment variable that stands for a flag. */
export function variableOf(name: SettingName): string {
  return settingOf(name).variable ?? `PARALLAX_${longOf(name).replaceAll('-', '_').toUpperCase()}`;
}

export function addProbeSettings(command: Command): Command {
  for (const name of names) {
    const { flag, help, kind } = settingOf(name);
    const option = new Option(flag, help);
    if (kind === 'list') option.argParser((value, before: readonly string[] = []) => [...before, value]);
    command.addOption(option);
  }
  return command;
}

/** Reads --config too. Throws UsageError, which names the file, the line and the key. */
export function givenSettings(flags: ProbeFlags, { env, cwd }: Pick<CliContext, 'env' | 'cwd'>): Given {
  const path = flags.config ?? (env.PARALLAX_CONFIG || undefined);
  const file = path === undefined ? {} : readSettingsFile(resolve(cwd, path), path);
  const first = (name: SettingName) => flags[name] ?? (env[variableOf(name)] || undefined) ?? file[name];
  return {
    text(name) {
      const value = first(name);
      return value === undefined ? null : String(value);
    },
    list(name) {
      const value = first(name);
      return Array.isArray(value)
        ? value
        : String(value ?? '')
            .split(/[\s,]+/)
            .filter(Boolean);
    },
    on: (name) => /^(1|true|yes)$/i.test(String(first(name) ?? '')),
    isFlag: (name) => flags[name] !== undefined,
  };
}

type FileValues = { [name in SettingName]?: string | boolean | readonly string[] };

function readSettingsFile(path: string, shown: string): FileValues {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(`--config ${shown}: ${code === 'ENOENT' ? 'there is no such file' : message}`);
  }
  const source = readYaml(text);
  if ('faults' in source) {
    const [fault] = source.faults;
    throw new UsageError(`${place(shown, fault ?? {})}: ${fault?.message ?? 'cannot be read'}`);
  }
  if (source.value === null || source.value === undefined) return {};
  if (typeof source.value !== 'object' || Array.isArray(source.value))
    throw new UsageError(`--config ${shown}: must be a mapping like \`hub: https://hub.example\``);
  const problems: string[] = [];
  const values: FileValues = {};
  for (const [key, value] of Object.entries(source.value)) {
    const name = names.find((each) => longOf(each) === key);
    const wrong = name === undefined ? unknown(key) : unfit(settingOf(name), value);
    if (wrong !== null) problems.push(problem(shown, source, key, wrong));
    else if (name !== undefined) values[name] = Array.isArray(value) ? value.map(String) : String(value);
  }
  if (problems.length > 0) throw new UsageError(problems.join('\n'));
  return values;
}

function problem(shown: string, source: YamlSource, key: string, message: string): string {
  return `${place(shown, source.position([key]) ?? {})}: ${pathText([key])}: ${message}`;
}

function place(shown: string, { line, column }: { line?: number | undefined; column?: number | undefined }) {
  return line === undefined ? shown : `${shown}:${line}:${column ?? 1}`;
}

function unknown(key: string): string {
  const near = nearest(key, names.map(longOf));
  return `is not a known key${near ? `: did you mean '${near}'?` : ''}`;
}

function unfit({ kind = 'text' }: Setting, value: unknown): string | null {
  if (kind === 'switch') return typeof value === 'boolean' ? null : 'must be true or false';
  const isText = (one: unknown) => typeof one === 'string' || typeof one === 'number';
  if (kind === 'list' && Array.isArray(value)) return value.every(isText) ? null : 'must be a list of texts';
  return isText(value) ? null : 'must be text';
}
