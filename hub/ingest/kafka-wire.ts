import type { Kafka } from 'kafkajs';

/** A request that kafkajs does not know, in a version whose header is the old one. */
export interface WireRequest<T> {
  readonly apiKey: number;
  readonly apiName: string;
  readonly apiVersion: number;
  readonly body: Buffer;
  readonly read: (reader: WireReader) => T;
}

/** This kafkajs is not the one whose inside is known here, or the cluster does not know the request. */
export class WireUnknown extends Error {}

interface InnerBroker {
  /** What the broker said that it knows, by API key. */
  readonly versions?: Readonly<Record<number, { readonly maxVersion: number } | undefined>> | null;
  readonly connectionPool: {
    send(request: {
      request: { apiKey: number; apiVersion: number; apiName: string; encode: () => Promise<InnerEncoder> };
      response: { decode: (raw: Buffer) => Promise<object>; parse: (decoded: object) => Promise<object> };
    }): Promise<object>;
  };
}
interface InnerCluster {
  connect(): Promise<void>;
  refreshMetadata(): Promise<void>;
  findControllerBroker(): Promise<InnerBroker>;
  disconnect(): Promise<void>;
}
/** All of its encoder that its framing looks at. */
interface InnerEncoder {
  readonly buf: Buffer;
  readonly buffer: Buffer;
}

/**
 * Asks the controller over kafkajs's own connection, with its TLS and SASL: the way in is a symbol of kafkajs 2.2.4.
 * Throws WireUnknown where that is not there, or where the broker is too old for the request.
 */
export async function askController<T>(kafka: Kafka, request: WireRequest<T>): Promise<T> {
  const cluster = innerCluster(kafka);
  await cluster.connect();
  try {
    await cluster.refreshMetadata();
    const broker = await cluster.findControllerBroker();
    const { apiKey, apiName, apiVersion, body, read } = request;
    if (broker.versions && (broker.versions[apiKey]?.maxVersion ?? -1) < apiVersion) {
      throw new WireUnknown(`the cluster knows no ${apiName} version ${apiVersion}`);
    }
    const { value } = (await broker.connectionPool.send({
      request: { apiKey, apiName, apiVersion, encode: async () => ({ buf: body, buffer: body }) },
      response: {
        decode: async (raw) => ({ value: read(createReader(raw)), clientSideThrottleTime: null }),
        parse: async (decoded) => decoded,
      },
    })) as { value: T };
    return value;
  } finally {
    await cluster.disconnect().catch(() => undefined);
  }
}

function innerCluster(kafka: Kafka): InnerCluster {
  const symbol = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  );
  const create = symbol && (kafka as unknown as Record<symbol, unknown>)[symbol];
  if (typeof create !== 'function') throw new WireUnknown('this kafkajs has no way in');
  return (create as (options: object) => InnerCluster)({ allowAutoTopicCreation: false });
}

export interface WireReader {
  int8(): number;
  int16(): number;
  int32(): number;
  float64(): number;
  text(): string | null;
  /** Null counts as none. */
  list<T>(one: () => T): T[];
  /** An error code and its words: throws KafkaAnswer unless the code is 0. */
  refuse(): void;
}

/** Kafka's error code and words. */
export class KafkaAnswer extends Error {
  readonly errorCode: number;
  constructor(errorCode: number, message: string | null) {
    super(message ?? `Kafka answers with error ${errorCode}`);
    this.name = 'KafkaAnswer';
    this.errorCode = errorCode;
  }
}

function createReader(raw: Buffer): WireReader {
  let at = 0;
  const step = (bytes: number) => {
    at += bytes;
    return at - bytes;
  };
  const reader: WireReader = {
    int8: () => raw.readInt8(step(1)),
    int16: () => raw.readInt16BE(step(2)),
    int32: () => raw.readInt32BE(step(4)),
    float64: () => raw.readDoubleBE(step(8)),
    text() {
      const length = reader.int16();
      if (length < 0) return null;
      const from = step(length);
      return raw.toString('utf8', from, from + length);
    },
    list: (one) => Array.from({ length: Math.max(0, reader.int32()) }, one),
    refuse() {
      const code = reader.int16();
      const message = reader.text();
      if (code !== 0) throw new KafkaAnswer(code, message);
    },
  };
  return reader;
}

/** Big-endian, as Kafka's old encodings are: lengths of two bytes for text, of four for lists. */
export const wire = {
  int8: (value: number) => Buffer.from([value & 0xff]),
  int16(value: number) {
    const bytes = Buffer.alloc(2);
    bytes.writeInt16BE(value);
    return bytes;
  },
  int32(value: number) {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return bytes;
  },
  float64(value: number) {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return bytes;
  },
  text(value: string | null) {
    if (value === null) return wire.int16(-1);
    const bytes = Buffer.from(value, 'utf8');
    return Buffer.concat([wire.int16(bytes.length), bytes]);
  },
  list: (values: readonly Buffer[]) => Buffer.concat([wire.int32(values.length), ...values]),
};
