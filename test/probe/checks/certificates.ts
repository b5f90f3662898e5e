// @peculiar/x509 asks for it before it is loaded.
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  type Extension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 86_400_000;

/** PEM texts, and what signs with them. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly keys: CryptoKeyPair;
}

export interface Subject {
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
  readonly fromDays?: number;
  readonly toDays?: number;
  readonly ca?: boolean;
  readonly name?: string;
}

/** A certificate of any kind, right or wrong; without an issuer it signs itself. Days are counted from now. */
export async function issue(subject: Subject, issuer?: Issued): Promise<Issued> {
  const keys = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair;
  const { dns = [], ips = [], fromDays = -1, toDays = 90, ca = false } = subject;
  const name = `CN=${subject.name ?? dns[0] ?? ips[0] ?? 'somebody'}`;
  const extensions: Extension[] = [new BasicConstraintsExtension(ca)];
  if (dns.length + ips.length > 0) {
    extensions.push(
      new SubjectAlternativeNameExtension([
        ...dns.map((value) => ({ type: 'dns' as const, value })),
        ...ips.map((value) => ({ type: 'ip' as const, value })),
      ]),
    );
  }
  const cert = await X509CertificateGenerator.create({
    serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(8)))
      .toString('hex')
      .replace(/^[89a-f]/, '1'),
    subject: name,
    issuer: issuer ? new X509Certificate(issuer.cert).subject : name,
    notBefore: new Date(Date.now() + fromDays * dayMs),
    notAfter: new Date(Date.now() + toDays * dayMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    extensions,
  });
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    cert: cert.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${key.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
    keys,
  };
}
