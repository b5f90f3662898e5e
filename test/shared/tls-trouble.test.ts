import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { createServer as createPlain } from 'node:net';
import { connect, createServer, type TlsOptions } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate, type KeyPair, makeAuthority } from '../../hub/demo/certificates.ts';
import { type TlsTerms, tlsTrouble } from '../../shared/tls-trouble.ts';

const dayMs = 86_400_000;
const life = { notBeforeMs: Date.now() - 3 * dayMs, notAfterMs: Date.now() + dayMs };
const terms: TlsTerms = { peer: 'the broker', ca: '--ca', cert: '--cert', own: null };

/** Real handshakes: what Node calls a failure changes with its OpenSSL. */
describe('what a failed TLS connection says', () => {
  let authority: KeyPair;
  let other: KeyPair;
  const servers: Server[] = [];
  beforeAll(async () => {
    authority = await makeAuthority(Date.now(), 'ours');
    other = await makeAuthority(Date.now(), 'other');
  });
  afterAll(() => {
    for (const server of servers) server.close();
  });

  const serverCertificate = (over: Partial<typeof life> = {}) =>
    issueCertificate(authority, { dns: ['db.internal'], ips: ['127.0.0.1'], ...life, ...over });

  async function serve(options: TlsOptions | null): Promise<number> {
    const server = options
      ? createServer(options)
      : createPlain((socket) => void socket.end('hello, hello\n'));
    servers.push(server);
    server.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }
  async function failure(
    port: number,
    options: { ca: string; own?: KeyPair; servername?: string },
  ): Promise<unknown> {
    const { ca, own, servername } = options;
    const socket = connect({ host: '127.0.0.1', port, ca, ...own, ...(servername && { servername }) });
    // With TLS 1.3 the server refuses a certificate after our side is done.
    return new Promise((done) => {
      socket
        .on('error', done)
        .on('end', () => done(null))
        .resume();
    });
  }
  const say = async (port: number, options: Parameters<typeof failure>[1]) =>
    tlsTrouble(await failure(port, options), { ...terms, own: options.own?.cert ?? null });

  test('of the other side: unknown, expired, not yet valid, another, no TLS', async () => {
    const good = await serve(await serverCertificate());
    expect(await say(good, { ca: other.cert })).toMatch(/authority that is not trusted here: .* with --ca$/);
    expect(await say(good, { ca: authority.cert, servername: 'x.example' })).toMatch(/is for other names/);
    const expired = await serve(await serverCertificate({ notAfterMs: Date.now() - dayMs }));
    expect(await say(expired, { ca: authority.cert })).toMatch(/^the certificate of the broker has expired/);
    const early = await serve(await serverCertificate({ notBeforeMs: Date.now() + dayMs / 2 }));
    expect(await say(early, { ca: authority.cert })).toMatch(/not valid yet: is a clock wrong/);
    expect(await say(await serve(null), { ca: authority.cert })).toMatch(/does not speak TLS on this port/);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('of ours, by %s', async (version) => {
    const port = await serve({
      ...(await serverCertificate()),
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: version,
      maxVersion: version,
    });
    expect(await say(port, { ca: authority.cert })).toBe(
      'the broker asks for a client certificate: name one with --cert',
    );
    // Certificates that are refused: see test/flow/secure-refusals and test/hub/store/database-tls, on real servers.
  });

  test('is nothing where TLS is not the reason', () => {
    for (const error of [null, new Error('x'), Object.assign(new Error('x'), { code: 'ECONNREFUSED' })]) {
      expect(tlsTrouble(error, terms)).toBeNull();
    }
  });
});
