import { Kafka, type LogEntry, logLevel, type Message, Partitioners, type Producer } from 'kafkajs';
import type { Logger } from 'pino';
import type { SealedBatch } from '../../shared/batch.ts';
import type { KafkaAccess } from '../../shared/lease.ts';
import { kafkaHeaders } from '../../shared/relay.ts';
import { tlsTrouble } from '../../shared/tls-trouble.ts';
import { oauthBearer, type TokenSasl } from './kafka-oauth.ts';
import { DeliveryError, type Way } from './way.ts';

/** PEM, where the brokers ask for a client's certificate. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface KafkaWayOptions {
  readonly access: KafkaAccess;
  /** What the brokers are shown where they ask for OAUTHBEARER. */
  readonly token: () => Promise<string>;
  /** Asked for every new producer, so that a renewed one is taken up; throws where it cannot be read. */
  readonly certificate: (() => ClientCertificate) | null;
  readonly clientId: string;
  readonly log: Logger;
  /** One produce request, connecting included. */
  readonly timeoutMs?: number;
}

export interface KafkaWay extends Way {
  close(): Promise<void>;
}

interface Queued {
  readonly batch: SealedBatch;
  readonly resolve: () => void;
  readonly reject: (error: DeliveryError) => void;
}

/** Brokers take 1 MiB a request unless told otherwise. */
const maxRequestBytes = 900_000;
/**
 * So long before a session's end its connection shows a token again; access-token has a new one by then. With the old
 * one it would have to be shown again at every request, and brokers refuse that within a second.
 */
const reauthenticateMs = 2000;
/** A clean stop of the whole probe ends inside 10 s, and most of that is for what runs and for delivery. */
const closeMs = 1000;

/** Produces onto the topic that the lease names. That it is ready is known only by an acknowledged produce. */
export function createKafkaWay(options: KafkaWayOptions): KafkaWay {
  const { access, certificate, log, timeoutMs = 25_000 } = options;
  const queue: Queued[] = [];
  let producer: Producer | null = null;
  /** What the brokers were shown last. */
  let shown: ClientCertificate | null = null;
  let working: Promise<void> | null = null;
  const sasl = access.auth === 'oauthbearer' ? oauthBearer(options.token) : null;
  let closed = false;

  async function connected(): Promise<Producer> {
    if (producer) return producer;
    shown = access.auth === 'mtls' && certificate ? certificate() : null;
    const fresh = clientOf(options, sasl, shown).producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      // kafkajs's idempotent producer can lose data silently after a lost acknowledgement; repeated batches are
      // recognised by their number in the stream.
      idempotent: false,
      maxInFlightRequests: 1,
      retry: { initialRetryTime: 200, retries: 2 },
    });
    producer = fresh;
    await fresh.connect();
    return fresh;
  }

  async function work(): Promise<void> {
    for (let group = takeGroup(); group.length > 0; group = takeGroup()) {
      try {
        await within(timeoutMs, produce(group));
        for (const { resolve } of group) resolve();
      } catch (error) {
        const failed = producer;
        producer = null;
        failed?.disconnect().catch(() => undefined);
        const problem = errorOf(sasl?.refusal() ?? error, access, shown);
        for (const { reject } of group) reject(problem);
      }
    }
    working = null;
  }

  async function produce(group: readonly Queued[]): Promise<void> {
    const ready = await connected();
    // No compression: the values are zstd already.
    await ready.send({ topic: access.topic, acks: -1, timeout: 10_000, messages: group.map(messageOf) });
  }

  function takeGroup(): Queued[] {
    let size = 0;
    let count = 0;
    for (const { batch } of queue) {
      if (count > 0 && size + batch.value.length > maxRequestBytes) break;
      size += batch.value.length;
      count += 1;
    }
    return queue.splice(0, count);
  }

  return {
    send(batch, signal) {
      if (closed || signal.aborted) return Promise.reject(new DeliveryError('away', 'the probe is stopping'));
      if (access.auth === 'mtls' && certificate === null) return Promise.reject(certificateMissing());
      return new Promise((resolve, reject) => {
        // kafkajs cannot be called off: who stops does not wait for a broker that takes and never answers.
        const leave = () => reject(new DeliveryError('away', 'the probe is stopping'));
        signal.addEventListener('abort', leave, { once: true });
        const settled = <Value>(settle: (value: Value) => void) => {
          return (value: Value) => {
            signal.removeEventListener('abort', leave);
            settle(value);
          };
        };
        queue.push({ batch, resolve: settled(resolve), reject: settled(reject) });
        working ??= work();
      });
    },
    async close() {
      closed = true;
      const last = producer;
      for (const { reject } of queue.splice(0)) reject(new DeliveryError('away', 'the probe is stopping'));
      await within(closeMs, Promise.all([working, last?.disconnect()])).catch((error: unknown) => {
        log.debug({ err: error }, 'the connection to Kafka did not end in time');
      });
    },
  };
}

function clientOf(
  { access, clientId, log }: KafkaWayOptions,
  sasl: TokenSasl | null,
  certificate: ClientCertificate | null,
): Kafka {
  const { ca } = access;
  return new Kafka({
    clientId,
    brokers: [...access.brokers],
    connectionTimeout: 10_000,
    requestTimeout: 12_000,
    retry: { initialRetryTime: 200, maxRetryTime: 2000, retries: 2 },
    ...(access.tls && {
      ssl: { ...(ca !== null && { ca: [ca] }), ...certificate },
    }),
    ...(sasl && { sasl: sasl.mechanism }),
    reauthenticationThreshold: reauthenticateMs,
    logLevel: logLevel.WARN,
    logCreator: () => (entry) => write(log, entry),
  });
}

/** A broker that is away makes kafkajs say so ten times a second; the outbox says once what that means. */
function write(log: Logger, { namespace, log: { message, ...rest } }: LogEntry): void {
  const { error, broker, topic } = rest;
  log.debug({ kafka: namespace, error, broker, topic }, message);
}

function certificateMissing(): DeliveryError {
  return new DeliveryError(
    'away',
    "Kafka's brokers ask for a client certificate and this probe has none: name one with --kafka-cert and --kafka-key, or deliver by the relay with --delivery relay",
  );
}

function errorOf(
  error: unknown,
  { topic }: KafkaAccess,
  certificate: ClientCertificate | null,
): DeliveryError {
  const { type, message, cause } = error as {
    type?: string;
    message?: string;
    cause?: { type?: string; message?: string };
  };
  const types = [type, cause?.type];
  if (types.includes('MESSAGE_TOO_LARGE')) {
    return new DeliveryError('refused', `Kafka takes no message as large as a batch on ${topic}`, {
      cause: error,
    });
  }
  if (types.includes('UNKNOWN_TOPIC_OR_PARTITION')) {
    return new DeliveryError(
      'away',
      `Kafka has no topic ${topic}: an operator makes it with \`parallax migrate up\``,
    );
  }
  if (types.includes('TOPIC_AUTHORIZATION_FAILED')) {
    return new DeliveryError('away', `Kafka does not let this probe write to ${topic}`);
  }
  const terms = {
    peer: "Kafka's broker",
    ca: 'KAFKA_PROBE_CA, at the hub',
    cert: '--kafka-cert',
    own: certificate?.cert ?? null,
  };
  const tls = tlsTrouble(cause, terms) ?? tlsTrouble(error, terms);
  if (tls !== null) return new DeliveryError('away', `Kafka takes no batches: ${tls}`, { cause: error });
  return new DeliveryError('away', `Kafka takes no batches: ${cause?.message ?? message ?? String(error)}`, {
    cause: error,
  });
}

function messageOf({ batch }: Queued): Message {
  return {
    key: batch.key,
    value: bufferOf(batch.value),
    headers: {
      [kafkaHeaders.kid]: batch.headers.kid,
      [kafkaHeaders.signature]: bufferOf(batch.headers.sig),
      [kafkaHeaders.schema]: batch.headers.schema,
    },
  };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
