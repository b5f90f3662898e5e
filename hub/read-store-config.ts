import { readFileSync } from 'node:fs';
import { readKafkaConfig } from './read-kafka-config.ts';
import { createSettings, type Env, type Settings, secretSetting, setting } from './settings.ts';

const environmentName = setting('a name of lower-case letters, digits and hyphens', (text) =>
  /^[a-z0-9][a-z0-9-]{0,31}$/.test(text) ? text : null,
);
const postgres = secretSetting('an address like postgresql://user:password@host:5432/parallax', (text) =>
  /^postgres(ql)?:$/.test(URL.parse(text)?.protocol ?? '') ? text : null,
);

/** What migrations need: the database, and Kafka where there is one. Throws SettingsError. */
export function readStoreConfig(env: Env, readFile: (path: string) => string = readText) {
  const settings = createSettings(env, readFile);
  const { databaseUrl, ...rest } = readStore(settings);
  settings.settle();
  if (databaseUrl === undefined) throw new Error('DATABASE_URL is missing, and settle() let it pass');
  return { ...rest, databaseUrl };
}

/** For commands that only speak to Kafka. Throws SettingsError. */
export function readKafkaSettings(env: Env, readFile: (path: string) => string = readText) {
  const settings = createSettings(env, readFile);
  const environment = settings.read({ variable: 'PARALLAX_ENV' }, environmentName, 'dev');
  const kafka = readKafkaConfig(settings, environment);
  settings.settle();
  return { environment, kafka };
}

export function readStore(settings: Settings) {
  const environment = settings.read({ variable: 'PARALLAX_ENV' }, environmentName, 'dev');
  const databaseUrl = settings.need(
    { variable: 'DATABASE_URL', orFile: true },
    postgres,
    'name the PostgreSQL to use, or run `parallax up`, which brings one',
  );
  return { environment, databaseUrl, kafka: readKafkaConfig(settings, environment) };
}

export function readText(file: string): string {
  return readFileSync(file, 'utf8');
}
