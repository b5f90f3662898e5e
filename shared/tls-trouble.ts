import { X509Certificate } from 'node:crypto';

/** How the two ends of a TLS connection are called, so that what is said of it can be acted on. */
export interface TlsTerms {
  /** Who is dialled: `Kafka's broker`. */
  readonly peer: string;
  /** The settings that name the authorities to trust, and our own certificate. */
  readonly ca: string;
  readonly cert: string;
  /** Our own certificate, PEM; null: none is shown. */
  readonly own: string | null;
}

const untrusted = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]);

/**
 * What a TLS connection failed of and who can do something about it, in one line; null where TLS is not the reason.
 * `code` as Node gives it: names of OpenSSL's X509 errors, and `ERR_SSL_…ALERT_…` for what the other side refused.
 */
export function tlsTrouble(error: unknown, terms: TlsTerms): string | null {
  const { code, message = '' } = (error ?? {}) as { code?: unknown; message?: string };
  if (typeof code !== 'string') return null;
  const { peer, ca } = terms;
  if (untrusted.has(code)) {
    return `the certificate of ${peer} is of an authority that is not trusted here: name that authority with ${ca}`;
  }
  if (code === 'CERT_HAS_EXPIRED')
    return `the certificate of ${peer} has expired: whoever runs it must renew it`;
  if (code === 'CERT_NOT_YET_VALID') return `the certificate of ${peer} is not valid yet: is a clock wrong?`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `the certificate of ${peer} is for other names than the one that was dialled (${message})`;
  }
  const alert = /^ERR_SSL_.*ALERT_(.+)$/.exec(code)?.[1];
  if (alert !== undefined && /CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED/.test(alert))
    return refusedCertificate(terms);
  if (alert === 'HANDSHAKE_FAILURE' && terms.own === null) return refusedCertificate(terms);
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return `${peer} does not speak TLS on this port`;
  return null;
}

function refusedCertificate({ peer, cert, own }: TlsTerms): string {
  if (own === null) return `${peer} asks for a client certificate: name one with ${cert}`;
  const { validFromDate, validToDate } = new X509Certificate(own);
  const day = (date: Date) => date.toISOString().slice(0, 10);
  return `${peer} refuses our certificate (${cert}, valid from ${day(validFromDate)} to ${day(validToDate)}): it has expired, was revoked, or is of an authority that is not trusted there; a renewed one is taken up by itself`;
}
