import { createHash, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';

/** Everything that decides whom a handshake trusts and what it offers. PEM texts. */
export interface TrustSettings {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly minVersion: '1.0' | '1.1' | '1.2' | '1.3';
}

export interface TlsContexts {
  /** Throws what OpenSSL says of a PEM text that it cannot read. */
  get(settings: TrustSettings): SecureContext;
}

const keptMost = 200;

/**
 * One context for each trust configuration, the least recently used forgotten. `ca` per connection costs 46% of an
 * HTTPS check; a context made per check leaks most of the difference to the garbage collector.
 */
export function createTlsContexts(): TlsContexts {
  const contexts = new Map<string, SecureContext>();
  return {
    get(settings) {
      const name = nameOf(settings);
      const context = contexts.get(name) ?? makeContext(settings);
      contexts.delete(name);
      contexts.set(name, context);
      if (contexts.size > keptMost) {
        const [oldest] = contexts.keys();
        if (oldest !== undefined) contexts.delete(oldest);
      }
      return context;
    },
  };
}

/** A digest, so that no private key stands in a map's keys. */
function nameOf({ ca, cert, key, minVersion }: TrustSettings): string {
  if (ca === undefined && cert === undefined && key === undefined) return minVersion;
  return createHash('sha256')
    .update(JSON.stringify([ca, cert, key, minVersion]))
    .digest('base64');
}

function makeContext({ ca, cert, key, minVersion }: TrustSettings): SecureContext {
  if (ca !== undefined) assertCertificates(ca);
  const old = minVersion === '1.0' || minVersion === '1.1';
  return createSecureContext({
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    minVersion: `TLSv1${minVersion === '1.0' ? '' : `.${minVersion.slice(2)}`}` as 'TLSv1.2',
    // Node's default offers ML-KEM first and pays for it in every handshake; X25519 alone fails against some servers.
    ecdhCurve: 'X25519:P-256:P-384',
    // OpenSSL 3 speaks TLS 1.0 and 1.1 at security level 0 only; whoever asks for them gets it for that endpoint alone.
    ...(old ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}),
  });
}

/** OpenSSL passes over what it cannot read in `ca`, and the machine's own authorities would be trusted in its place. */
function assertCertificates(ca: string): void {
  const blocks = ca.match(/-----BEGIN [^-]*CERTIFICATE-----[^-]*-----END [^-]*-----/g) ?? [];
  if (blocks.length === 0) throw Object.assign(new Error('no certificate'), { code: 'ERR_NO_CERTIFICATE' });
  for (const block of blocks) new X509Certificate(block);
}
