import { Kafka, type LogEntry, logLevel, type SASLOptions } from 'kafkajs';
import type { Logger } from 'pino';
import type { HubKafkaConfig } from '../config.ts';
import { boundDecoding } from './kafka-decode.ts';
import { brokerSockets } from './kafka-socket.ts';

export type KafkaLog = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export function kafkaClient(config: HubKafkaConfig, log: KafkaLog): Kafka {
  boundDecoding();
  const { tls, sasl } = config;
  return new Kafka({
    clientId: config.clientId,
    brokers: [...config.brokers],
    connectionTimeout: 10_000,
    requestTimeout: 10_000,
    retry: { initialRetryTime: 200, maxRetryTime: 5000, retries: 5 },
    // What stands in it is ours to know: see brokerSockets.
    ssl: tls !== null,
    socketFactory: brokerSockets(tls, log),
    ...(sasl && { sasl: { ...sasl } as SASLOptions }),
    logLevel: logLevel.WARN,
    logCreator: () => (entry) => write(log, entry),
  });
}

/** A broker that is away makes it say so ten times a second; whoever uses it says once what that means. */
function write(log: KafkaLog, { namespace, log: { message, ...rest } }: LogEntry): void {
  const { error, broker, groupId, topic, partition } = rest;
  log.debug({ kafka: namespace, error, broker, groupId, topic, partition }, message);
}

/** What of an error from a broker helps: kafkajs wraps the cause in its own retries, or several in one. */
export function kafkaReason(error: unknown): string {
  const { message, cause, errors } = error as {
    message?: string;
    cause?: { message?: string };
    errors?: readonly { message?: string }[];
  };
  return errors?.[0]?.message ?? cause?.message ?? message ?? String(error);
}

/** Brokers that are away, or a certificate that is to be renewed: the same call may well succeed later. */
export function isPassing(error: unknown): boolean {
  const { retriable, cause } = error as { retriable?: unknown; cause?: { retriable?: unknown } };
  return retriable === true || cause?.retriable === true || isCertificateTrouble(error);
}

/** A failed handshake: our certificate or the brokers' is to be renewed, which is taken up without a start. */
export function isCertificateTrouble(error: unknown): boolean {
  const { code, cause } = error as { code?: unknown; cause?: { code?: unknown } };
  return [code, cause?.code].some(
    (one) =>
      typeof one === 'string' && /^(ERR_SSL_|ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/.test(one),
  );
}
