import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { HubConfig } from '../config.ts';
import type { ReplicaReport } from './replica-report.ts';

/** The certificates this hub shows to others, with their ends; what cannot be read is told of by whoever uses it. */
export async function certificateEnds({
  tls,
  kafka,
}: Pick<HubConfig, 'tls' | 'kafka'>): Promise<ReplicaReport['certificates']> {
  const shown: { what: string; file: string; pem: () => Promise<string> | string }[] = [];
  const fromFile = (file: string) => () => readFile(file, 'utf8');
  if (tls) shown.push({ what: 'the certificate', file: tls.certFile, pem: fromFile(tls.certFile) });
  const forKafka = kafka?.tls;
  if (forKafka?.cert) {
    const { cert, files } = forKafka;
    const pem = files.cert === null ? () => cert : fromFile(files.cert);
    shown.push({ what: 'the certificate for Kafka', file: files.cert ?? 'KAFKA_CERT', pem });
  }
  const ends = await Promise.all(
    shown.map(async ({ what, file, pem }) => {
      try {
        return [{ what, file, endsAtMs: new X509Certificate(await pem()).validToDate.getTime() }];
      } catch {
        return [];
      }
    }),
  );
  return ends.flat();
}
