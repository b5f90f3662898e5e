import { X509Certificate } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type CertificateSubject,
  issueCertificate,
  type KeyPair,
  makeAuthority,
} from '../../hub/demo/certificates.ts';

/** Who has a certificate of this broker's authority; each is a principal of Kafka: `User:parallax-hub`. */
export const holders = {
  broker: {
    commonName: 'parallax-kafka',
    dns: ['localhost'],
    ips: ['127.0.0.1'],
    roles: ['server', 'client'],
  },
  hub: { commonName: 'parallax-hub', dns: [], ips: [], roles: ['client'] },
  admin: { commonName: 'parallax-admin', dns: [], ips: [], roles: ['client'] },
} as const satisfies Record<string, Omit<CertificateSubject, 'notBeforeMs' | 'notAfterMs'>>;
export type Holder = keyof typeof holders;

export interface Credentials {
  /** Files with PEM in them. */
  readonly ca: string;
  readonly of: Readonly<
    Record<Holder, { readonly cert: string; readonly key: string; readonly both: string }>
  >;
  /** What was made now, for people; empty at a second start. */
  readonly made: readonly string[];
}

const dayMs = 86_400_000;
const lifeDays = 365;
/** Made anew at a start that finds less than this left. */
const renewDays = 30;

/**
 * A certificate authority of this broker's own and what it signed, in `folder` (0700, keys 0600). What is there and
 * lasts for 30 days more is kept; a new authority makes everything new.
 */
export async function keepCredentials(folder: string, nowMs: number): Promise<Credentials> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const made: string[] = [];
  let authority = await readPair(folder, 'ca', nowMs);
  if (!authority) {
    authority = await makeAuthority(nowMs, 'Parallax local Kafka authority');
    await writePair(folder, 'ca', authority);
    made.push('ca');
  }
  const pairs = {} as Record<Holder, { cert: string; key: string; both: string }>;
  for (const holder of Object.keys(holders) as Holder[]) {
    const kept = made.includes('ca') ? null : await readPair(folder, holder, nowMs);
    if (!kept || !issuedBy(kept, authority)) {
      await writePair(folder, holder, await issue(authority, holder, nowMs));
      made.push(holder);
    }
    pairs[holder] = {
      cert: join(folder, `${holder}.crt`),
      key: join(folder, `${holder}.key`),
      both: join(folder, `${holder}.pem`),
    };
  }
  return { ca: join(folder, 'ca.crt'), of: pairs, made };
}

function issue(authority: KeyPair, holder: Holder, nowMs: number): Promise<KeyPair> {
  const life = { notBeforeMs: nowMs - dayMs, notAfterMs: nowMs + lifeDays * dayMs };
  return issueCertificate(authority, { ...holders[holder], ...life });
}

async function readPair(folder: string, name: string, nowMs: number): Promise<KeyPair | null> {
  try {
    const [cert, key] = await Promise.all([
      readFile(join(folder, `${name}.crt`), 'utf8'),
      readFile(join(folder, `${name}.key`), 'utf8'),
    ]);
    const ends = new X509Certificate(cert).validToDate.getTime();
    return ends > nowMs + renewDays * dayMs ? { cert, key } : null;
  } catch {
    return null;
  }
}

function issuedBy({ cert }: KeyPair, authority: KeyPair): boolean {
  return new X509Certificate(cert).verify(new X509Certificate(authority.cert).publicKey);
}

/** `.pem` has both, as Kafka wants a key store. */
async function writePair(folder: string, name: string, { cert, key }: KeyPair): Promise<void> {
  await writeWhole(join(folder, `${name}.key`), key, 0o600);
  await writeWhole(join(folder, `${name}.crt`), cert, 0o644);
  if (name !== 'ca') await writeWhole(join(folder, `${name}.pem`), `${key}\n${cert}\n`, 0o600);
}

async function writeWhole(file: string, text: string, mode: number): Promise<void> {
  await writeFile(`${file}.new`, text, { mode });
  await rename(`${file}.new`, file);
}
