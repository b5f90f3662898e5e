import type { Socket } from 'node:net';
import {
  checkServerIdentity,
  connect,
  type DetailedPeerCertificate,
  type PeerCertificate,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { type CertificateEvidence, evidenceText } from '../../shared/evidence.ts';
import { clipUtf8, type Failure, type FailureCode, failure } from '../../shared/failure.ts';
import type { TlsFacts } from '../../shared/result.ts';
import { type Attempt, addPhase, interrupted } from './attempt.ts';
import { noteErrno } from './trace.ts';

export interface HandshakeOptions {
  readonly context: SecureContext;
  /** What the certificate must be for: a name, or an address literal without brackets. */
  readonly name: string;
  /** SNI; null for address literals, which must not be sent (RFC 6066, section 3). */
  readonly serverName: string | null;
  readonly verify: boolean;
  readonly alpn: readonly string[];
  /** For those who want to know more: a statement on revocation is asked for, and the whole chain is at hand. */
  readonly observe?: (seen: HandshakeSeen) => void;
}

/** A handshake that came to its end, whatever the certificate is worth. */
export interface HandshakeSeen {
  readonly socket: TLSSocket;
  /** From the server's own to the last authority that was sent or is known here. */
  readonly certificate: DetailedPeerCertificate;
  /** The OCSP response that came along (RFC 6066, section 8), DER; null: none. */
  readonly staple: Buffer | null;
}

export interface Secured {
  readonly socket: TLSSocket;
  readonly facts: TlsFacts | null;
}

/** A handshake that went wrong still tells what it saw of the certificate. */
export interface HandshakeFailure {
  readonly failure: Failure;
  readonly facts: TlsFacts | null;
}

/**
 * TLS over a TCP connection that stands: tls.connect builds its ClientHello at once, and on a socket that still
 * connects that time would be counted as the network's. Never resumes a session: every check is a full handshake.
 */
export function handshake(
  tcp: Socket,
  options: HandshakeOptions,
  attempt: Attempt,
): Promise<Secured | HandshakeFailure> {
  return new Promise((resolve) => {
    const began = performance.now();
    let facts: TlsFacts | null = null;
    let settled = false;
    const done = (outcome: Secured | Failure) => {
      if (settled) return;
      settled = true;
      attempt.interrupt = null;
      addPhase(attempt, 'tls', began);
      if ('socket' in outcome) return resolve(outcome);
      // What is remembered of its certificate may not be what it sent this time: an intermediate may be missing.
      if (facts) attempt.trace.certificates = chainOf(wholeChain());
      socket.destroy();
      resolve({ failure: outcome, facts });
    };
    const socket = connect({
      socket: tcp,
      secureContext: options.context,
      ...(options.serverName === null ? {} : { servername: options.serverName }),
      // Verified all the same: what is wrong is read below, after the certificate was looked at.
      rejectUnauthorized: false,
      ALPNProtocols: [...options.alpn],
      ...(options.observe ? { requestOCSP: true } : {}),
      checkServerIdentity(_, certificate) {
        // Node has parsed the certificate for this call; asking for it again would cost as much again.
        note(certificate);
        return options.verify ? checkServerIdentity(options.name, certificate) : undefined;
      },
    });
    // Node has the whole chain parsed for the name check: 70 us, where the leaf says as much in 35. (Its leaner
    // getPeerX509Certificate takes the certificate away from whoever asks later: Node 24.21.)
    const parse = socket.getPeerCertificate;
    socket.getPeerCertificate = (() => parse.call(socket, false)) as TLSSocket['getPeerCertificate'];
    const wholeChain = () => parse.call(socket, true) as DetailedPeerCertificate;
    const note = (certificate: PeerCertificate) => {
      const said = certificateFacts(certificate, wholeChain);
      if (!said) return;
      const { chain, ...leaf } = said;
      facts = { version: socket.getProtocol() ?? '', cipher: socket.getCipher().standardName, ...leaf };
      attempt.trace.certificates = chain;
    };
    let staple: Buffer | null = null;
    if (options.observe) socket.on('OCSPResponse', (response: Buffer | null) => (staple = response));
    attempt.interrupt = (why) => done(interrupted(why, 'tls', attempt));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      noteErrno(attempt.trace, error);
      done(handshakeFailure(error));
    });
    // The other side went without a word; an error, where there is one, has come before.
    socket.once('close', () =>
      done(failure('tls.handshake', 'the connection closed during the TLS handshake')),
    );
    socket.once('secureConnect', () => {
      if (!facts) note(socket.getPeerCertificate());
      options.observe?.({ socket, certificate: wholeChain(), staple });
      const wrong = options.verify ? (socket.authorizationError as unknown) : null;
      if (wrong) return done(certificateFailure(wrong, options.name));
      done({ socket, facts });
    });
  });
}

interface CertificateFacts {
  readonly notAfter: number;
  readonly issuer: string;
  readonly fingerprint: string;
  readonly chain: readonly CertificateEvidence[];
}

/** The certificate object is built anew on each handshake, what it says hardly changes. */
const remembered = new Map<string, CertificateFacts>();
const rememberedMost = 5000;

function certificateFacts(
  certificate: PeerCertificate,
  wholeChain: () => DetailedPeerCertificate,
): CertificateFacts | null {
  const fingerprint = (certificate as Partial<PeerCertificate>).fingerprint256;
  if (fingerprint === undefined) return null;
  let said = remembered.get(fingerprint);
  if (!said) {
    said = {
      notAfter: Math.floor(Date.parse(certificate.valid_to) / 1000) || 0,
      issuer: issuerOf(certificate),
      fingerprint: fingerprint.replaceAll(':', '').toLowerCase(),
      chain: chainOf(wholeChain()),
    };
    if (remembered.size >= rememberedMost) remembered.clear();
    remembered.set(fingerprint, said);
  }
  return said;
}

const longestChain = 6;

/** Its own first; what this machine's own trust added at the end is in it. */
export function chainOf(leaf: DetailedPeerCertificate | null): CertificateEvidence[] {
  const chain: CertificateEvidence[] = [];
  const seen = new Set<string>();
  for (let at: Partial<DetailedPeerCertificate> | null | undefined = leaf; at; at = at.issuerCertificate) {
    const sha256 = at.fingerprint256?.replaceAll(':', '').toLowerCase();
    // A root is its own issuer.
    if (sha256 === undefined || seen.has(sha256) || chain.length === longestChain) break;
    seen.add(sha256);
    chain.push({
      subject: evidenceText(nameOf(at.subject), 200),
      issuer: evidenceText(nameOf(at.issuer), 200),
      notAfter: Math.floor(Date.parse(at.valid_to ?? '') / 1000) || 0,
      sha256,
    });
  }
  return chain;
}

function issuerOf({ issuer }: PeerCertificate): string {
  return clipUtf8(nameOf(issuer).replaceAll('\0', '\ufffd'), 200);
}

function nameOf(name: unknown): string {
  const fields = name as Record<string, string | string[] | undefined> | null | undefined;
  return Object.entries(fields ?? {})
    .flatMap(([key, value]) => (value === undefined ? [] : [value].flat().map((each) => `${key}=${each}`)))
    .join(', ');
}

/** X509_V_ERR names, as Node gives them. What is not named here is a matter of trust. */
const certificateCodes: Readonly<Record<string, readonly [FailureCode, string]>> = {
  CERT_HAS_EXPIRED: ['tls.expired', 'the certificate has expired'],
  CERT_NOT_YET_VALID: ['tls.expired', 'the certificate is not valid yet'],
  ERR_TLS_CERT_ALTNAME_INVALID: ['tls.hostname', 'the certificate is for other names'],
  HOSTNAME_MISMATCH: ['tls.hostname', 'the certificate is for other names'],
  DEPTH_ZERO_SELF_SIGNED_CERT: ['tls.untrusted', 'the certificate is self-signed'],
  SELF_SIGNED_CERT_IN_CHAIN: ['tls.untrusted', 'the chain ends at an authority that is not trusted'],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: [
    'tls.untrusted',
    'no chain to a trusted authority: is an intermediate missing?',
  ],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: [
    'tls.untrusted',
    'no chain to a trusted authority: is an intermediate missing?',
  ],
  CERT_REVOKED: ['tls.untrusted', 'the certificate was revoked'],
};

/** `authorizationError` is a code for what OpenSSL found, an Error for what the name check found. */
function certificateFailure(wrong: unknown, name: string): Failure {
  const code = wrong instanceof Error ? ((wrong as NodeJS.ErrnoException).code ?? '') : String(wrong);
  const known = certificateCodes[code];
  if (!known) return failure('tls.untrusted', `the certificate is not trusted (${code})`);
  return failure(known[0], known[0] === 'tls.hostname' ? `${known[1]} than ${name}` : known[1]);
}

const versionCodes = new Set([
  'ERR_SSL_UNSUPPORTED_PROTOCOL',
  'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
  'ERR_SSL_NO_PROTOCOLS_AVAILABLE',
  'ERR_SSL_VERSION_TOO_LOW',
  'ERR_SSL_UNEXPECTED_MESSAGE_VERSION',
]);

/** Also for alerts that come after the handshake: TLS 1.3 servers refuse a client's certificate only then. */
export function handshakeFailure(error: NodeJS.ErrnoException): Failure {
  const code = error.code ?? '';
  if (versionCodes.has(code))
    return failure('tls.version', 'the server speaks no TLS version that is allowed here');
  const client = clientAlert(code);
  if (client !== null) return failure('tls.client', client);
  if (code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL')
    return failure('protocol.refused', 'the server speaks none of the protocols that were offered (ALPN)');
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return failure('tls.handshake', 'what answers on this port is not TLS');
  if (code === 'ECONNRESET')
    return failure('tls.handshake', 'the connection was reset during the TLS handshake');
  const reason = (error as { reason?: unknown }).reason;
  return failure(
    'tls.handshake',
    `TLS failed: ${typeof reason === 'string' ? reason : code || error.message}`,
  );
}

/** A server's alert about a certificate can only be about the client's. Null for others. */
function clientAlert(code: string): string | null {
  const alert = /^ERR_SSL_.*_ALERT_(\w+)$/.exec(code)?.[1] ?? '';
  if (alert === 'CERTIFICATE_REQUIRED') return 'the server asks for a client certificate: request.tls.cert';
  if (!/^(BAD|UNSUPPORTED)_CERTIFICATE|^CERTIFICATE_|^UNKNOWN_CA$|^ACCESS_DENIED$/.test(alert)) return null;
  return `the server refused the client certificate (${alert.toLowerCase().replaceAll('_', ' ')})`;
}
