// @peculiar/x509 asks for it before it is loaded.
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** A certificate and its private key, PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 86_400_000;

/** A certificate authority that nobody trusts but those who are told to. */
export async function makeAuthority(nowMs: number, name = 'Parallax demo authority'): Promise<KeyPair> {
  const keys = await generateKeys();
  const cert = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `CN=${name}`,
    notBefore: new Date(nowMs - dayMs),
    notAfter: new Date(nowMs + 3650 * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return { cert: cert.toString('pem'), key: await keyPem(keys.privateKey) };
}

export interface CertificateSubject {
  /** Default: the first of its names. */
  readonly commonName?: string;
  readonly dns: readonly string[];
  readonly ips: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Default: a server. */
  readonly roles?: readonly ('server' | 'client')[];
}

const usages = { server: ExtendedKeyUsage.serverAuth, client: ExtendedKeyUsage.clientAuth } as const;

/** A certificate for the names and addresses, signed by the authority. */
export async function issueCertificate(authority: KeyPair, subject: CertificateSubject): Promise<KeyPair> {
  const { commonName = subject.dns[0] ?? subject.ips[0], roles = ['server'] } = subject;
  const keys = await generateKeys();
  const issuer = new X509Certificate(authority.cert);
  const der = PemConverter.decode(authority.key)[0];
  if (!der) throw new Error('the authority has no key: remove its folder, it is made again');
  const signingKey = await crypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
  const cert = await X509CertificateGenerator.create({
    serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(15))).toString('hex'),
    subject: `CN=${commonName}`,
    issuer: issuer.subject,
    notBefore: new Date(subject.notBeforeMs),
    notAfter: new Date(subject.notAfterMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new BasicConstraintsExtension(false),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(roles.map((role) => usages[role])),
      ...alternativeNames(subject),
    ],
  });
  return { cert: cert.toString('pem'), key: await keyPem(keys.privateKey) };
}

function alternativeNames({ dns, ips }: CertificateSubject): SubjectAlternativeNameExtension[] {
  const names = [
    ...dns.map((value) => ({ type: 'dns' as const, value })),
    ...ips.map((value) => ({ type: 'ip' as const, value })),
  ];
  return names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : [];
}

function generateKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<CryptoKeyPair>;
}

async function keyPem(key: CryptoKey): Promise<string> {
  return PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}
