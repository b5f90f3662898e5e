import { createHash, X509Certificate } from 'node:crypto';
import { checkServerIdentity } from 'node:tls';
import type { Facts, FactValue } from '../../shared/facts.ts';
import { chainOf, type HandshakeSeen } from './handshake.ts';
import { type OcspStaple, readStaple } from './ocsp-staple.ts';
import { shownText } from './shown-text.ts';

/** What a finished handshake tells of the server's certificate, whether it is trusted or not. */
export interface SeenCertificate {
  /** SHA-256 of the whole, lower-case hex; of its public key (SPKI), base64. */
  readonly fingerprint: string;
  readonly publicKey: string | null;
  readonly issuer: string;
  readonly names: readonly string[];
  /** Whether it is for this name or address, by itself or by a wildcard. */
  covers(name: string): boolean;
  /** Null: nothing was stapled. `unreadable`: it is no OCSP response, or one that says nothing. */
  readonly ocsp: OcspStaple | 'unreadable' | null;
  readonly facts: Facts;
}

// Facts hold 2 KiB: four certificates of a chain and eight names come to less, whatever is in them.
const mostShownChain = 4;
const mostShownNames = 8;
const shownNameBytes = 60;
const shownSubjectBytes = 80;

/** Null where the server showed no certificate. */
export function seeCertificate({ socket, certificate, staple }: HandshakeSeen): SeenCertificate | null {
  const chain = chainOf(certificate);
  const [leaf] = chain;
  if (!leaf || !certificate.raw) return null;
  const parsed = new X509Certificate(certificate.raw);
  const names = namesOf(parsed.subjectAltName ?? '');
  const publicKey = publicKeyOf(parsed);
  const ocsp = staple === null || staple.length === 0 ? null : (readStaple(staple) ?? 'unreadable');
  return {
    fingerprint: leaf.sha256,
    publicKey: publicKey?.pin ?? null,
    issuer: leaf.issuer,
    names,
    // As the handshake itself does it.
    covers: (name) => checkServerIdentity(name, certificate) === undefined,
    ocsp,
    facts: {
      subject: shownText(leaf.subject, shownSubjectBytes),
      names: names.slice(0, mostShownNames).map((name) => shownText(name, shownNameBytes)),
      ...(names.length > mostShownNames ? { nameCount: names.length } : {}),
      ...(publicKey ? { publicKey: publicKey.pin, keyType: publicKey.type } : {}),
      notBefore: Math.floor(parsed.validFromDate.getTime() / 1000),
      ...(typeof socket.alpnProtocol === 'string' ? { alpn: shownText(socket.alpnProtocol, 50) } : {}),
      ocsp: ocsp === null || ocsp === 'unreadable' ? ocsp : { ...ocsp },
      chain: chain.slice(0, mostShownChain).map(
        ({ subject, issuer, notAfter, sha256 }): FactValue => ({
          subject: shownText(subject, shownSubjectBytes),
          issuer: shownText(issuer, shownSubjectBytes),
          notAfter,
          sha256,
        }),
      ),
      ...(chain.length > mostShownChain ? { chainLength: chain.length } : {}),
    },
  };
}

/** `DNS:shop.example, IP Address:192.0.2.1`; where a name has a comma in it OpenSSL's form is quoted as JSON. */
export function namesOf(subjectAltName: string): string[] {
  const names: string[] = [];
  for (const [, quoted, bare] of subjectAltName.matchAll(
    /(?:DNS|IP Address):(?:"((?:[^"\\]|\\.)*)"|([^,]*))/g,
  ))
    names.push(quoted ?? bare ?? '');
  return names;
}

function publicKeyOf(certificate: X509Certificate): { readonly pin: string; readonly type: string } | null {
  try {
    const { publicKey } = certificate;
    const { asymmetricKeyType = 'unknown', asymmetricKeyDetails } = publicKey;
    const { namedCurve, modulusLength } = asymmetricKeyDetails ?? {};
    const size = namedCurve ?? modulusLength;
    return {
      pin: createHash('sha256')
        .update(publicKey.export({ type: 'spki', format: 'der' }))
        .digest('base64'),
      type: size === undefined ? asymmetricKeyType : `${asymmetricKeyType} ${size}`,
    };
  } catch {
    // A key of a kind that OpenSSL does not know.
    return null;
  }
}
