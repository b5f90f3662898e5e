import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { HubConfig } from '../config.ts';
import type { ReplicaReport } from './replica-report.ts';

/** The certificates this hub shows to others, with their ends; what cannot be read is told of by whoever uses it. */
export async function certificateEnds({
  tls,
}: Pick<HubConfig, 'tls'>): Promise<ReplicaReport['certificates']> {
  if (!tls) return [];
  const endsAtMs = await endOf(tls.certFile);
  return endsAtMs === null ? [] : [{ what: 'the certificate', file: tls.certFile, endsAtMs }];
}

async function endOf(file: string): Promise<number | null> {
  try {
    return new X509Certificate(await readFile(file)).validToDate.getTime();
  } catch {
    return null;
  }
}
