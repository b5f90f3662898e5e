import { readFileSync } from 'node:fs';
import { isIP, connect as openTcp, type Socket } from 'node:net';
import { createSecureContext, connect as openTls } from 'node:tls';
import type { ISocketFactory } from 'kafkajs';
import type { Logger } from 'pino';
import { tlsTrouble } from '../../shared/tls-trouble.ts';
import type { HubKafkaConfig } from '../config.ts';

const keepAliveMs = 60_000;
/** A broker that refuses us is dialled many times a minute. */
const sayEveryMs = 60_000;

type Pem = Pick<NonNullable<HubKafkaConfig['tls']>, 'ca' | 'cert' | 'key'>;

/**
 * Opens kafkajs's connections. Each new one reads the certificate's files again, so that a renewed one is in use from
 * the next connection on; and a failed handshake says what is wrong and what to do, in the error and once a minute in
 * the log.
 */
export function brokerSockets(
  tls: HubKafkaConfig['tls'],
  log: Pick<Logger, 'info' | 'error'>,
  readFile = (file: string) => readFileSync(file, 'utf8'),
): ISocketFactory {
  let inUse: Pem | null = tls;
  let said = { text: '', atMs: Number.NEGATIVE_INFINITY };

  function newest({ files, ...first }: NonNullable<HubKafkaConfig['tls']>): Pem {
    const read = (file: string | null, text: string | null) => (file === null ? text : readFile(file));
    const before = inUse ?? first;
    try {
      const fresh = {
        ca: read(files.ca, first.ca),
        cert: read(files.cert, first.cert),
        key: read(files.key, first.key),
      };
      if (fresh.ca === before.ca && fresh.cert === before.cert && fresh.key === before.key) return before;
      // Certificate and key are renewed one after the other: until they fit, those of before are used.
      createSecureContext(optionsOf(fresh));
      inUse = fresh;
      log.info({ files }, 'the new certificates for Kafka are in use');
      return fresh;
    } catch {
      return before;
    }
  }

  function explain(error: Error, own: string | null): void {
    const terms = { peer: "Kafka's broker", ca: 'KAFKA_CA', cert: 'KAFKA_CERT', own };
    const text = tlsTrouble(error, terms);
    if (text === null) return;
    // kafkajs keeps no more of it than the message.
    error.message = text;
    const nowMs = performance.now();
    if (text === said.text && nowMs - said.atMs < sayEveryMs) return;
    said = { text, atMs: nowMs };
    log.error(`Kafka cannot be used: ${text}`);
  }

  return ({ host, port, onConnect }) => {
    let socket: Socket;
    if (tls === null) socket = openTcp({ host, port }, onConnect);
    else {
      const pem = newest(tls);
      const name = isIP(host) ? {} : { servername: host };
      socket = openTls({ host, port, ...name, ...optionsOf(pem) }, onConnect);
      socket.on('error', (error) => explain(error, pem.cert));
    }
    return socket.setKeepAlive(true, keepAliveMs);
  };
}

function optionsOf({ ca, cert, key }: Pem) {
  return { ...(ca !== null && { ca }), ...(cert !== null && { cert }), ...(key !== null && { key }) };
}
