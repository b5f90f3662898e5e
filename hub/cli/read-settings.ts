import { UsageError } from '../../shared/command-line.ts';
import type { HubKafkaConfig } from '../config.ts';
import { SettingsError } from '../settings.ts';

/** What a command reads from its environment: settings that are wrong are wrong usage. Throws UsageError. */
export function readSettings<Read>(read: () => Read): Read {
  try {
    return read();
  } catch (error) {
    throw error instanceof SettingsError ? new UsageError(error.message, { cause: error }) : error;
  }
}

/** The same for commands that are about a cluster. Throws UsageError where none is named. */
export function readKafkaCommand<Read extends { readonly kafka: HubKafkaConfig | null }>(
  read: () => Read,
): Read & { readonly kafka: HubKafkaConfig } {
  const settings = readSettings(read);
  const { kafka } = settings;
  if (!kafka) throw new UsageError('KAFKA_BROKERS is not set: it names the cluster');
  return { ...settings, kafka };
}
