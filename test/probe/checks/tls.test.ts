import { connect } from 'node:net';
import type { SecureVersion, TlsOptions } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import type { Observation } from '../../../shared/result.ts';
import { type Issued, issue } from './certificates.ts';
import { checkOnce, startChecker } from './scene.ts';
import { type Answer, type RawServer, says, startRawServer, whole } from './servers.ts';

let checker: Checker;
let authority: Issued;
let intermediate: Issued;
const issued: Record<string, Issued> = {};
const servers: RawServer[] = [];

beforeAll(async () => {
  checker = await startChecker();
  authority = await issue({ name: 'Test authority', ca: true });
  intermediate = await issue({ name: 'Test intermediate', ca: true }, authority);
  const local = { dns: ['localhost'], ips: ['127.0.0.1'] };
  issued.good = await issue(local, authority);
  issued.expired = await issue({ ...local, fromDays: -30, toDays: -2 }, authority);
  issued.early = await issue({ ...local, fromDays: 2, toDays: 30 }, authority);
  issued.ending = await issue({ ...local, toDays: 5.5 }, authority);
  issued.self = await issue(local);
  issued.named = await issue({ dns: ['shop.test', '*.wild.test'] }, authority);
  issued.deep = await issue(local, intermediate);
  issued.client = await issue({ name: 'a client' }, authority);
});
afterAll(async () => {
  await checker.close();
  await Promise.all(servers.map((server) => server.close()));
});

const ok: Answer = says(whole('hi'));

async function serve(name: string, tls: TlsOptions = {}, answer: Answer = ok): Promise<string> {
  const pair = issued[name];
  const server = await startRawServer(answer, { tls: { cert: pair?.cert, key: pair?.key, ...tls } });
  servers.push(server);
  return `https://127.0.0.1:${server.port}/`;
}

/** What is asked of a server, with the test's own authority trusted. */
function check(
  url: string,
  tls: object = {},
  more: { request?: object; expect?: object; timeoutMs?: number } = {},
) {
  const { request, ...wish } = more;
  return checkOnce(checker, url, { ...wish, request: { ...request, tls: { ca: authority.cert, ...tls } } });
}

const summary = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();

describe('certificates', () => {
  test.each<[string, object, string]>([
    ['good', {}, 'up'],
    ['expired', {}, 'down tls.expired'],
    ['early', {}, 'down tls.expired'],
    ['self', {}, 'down tls.untrusted'],
    ['named', {}, 'down tls.hostname'],
    ['deep', {}, 'down tls.untrusted'],
    ['expired', { verify: false }, 'degraded expect.cert'],
    ['early', { verify: false }, 'up'],
    ['self', { verify: false }, 'up'],
    ['named', { verify: false }, 'up'],
    ['good', { ca: undefined }, 'down tls.untrusted'],
    ['ending', {}, 'degraded expect.cert'],
  ])('%s, asked with %j, is %s', async (name, tls, expected) => {
    const seen = await check(await serve(name), tls);
    expect(summary(seen)).toBe(expected);
    // The certificate is seen whatever is wrong with it.
    expect(seen.tls?.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(seen.tls?.version).toBe('TLSv1.3');
    expect(seen.tls?.cipher).toMatch(/^TLS_/);
    expect(seen.timings.connect).not.toBeNull();
    expect(seen.timings.tls).toBeGreaterThan(0);
    expect(seen.timings.wait === null).toBe(seen.failure?.code.startsWith('tls.') ?? false);
  });

  test('its facts are told', async () => {
    const before = Date.now() / 1000;
    const { tls } = await check(await serve('ending'));
    expect(tls?.issuer).toBe('CN=Test authority');
    expect(tls?.notAfter).toBeGreaterThan(before + 5.4 * 86_400);
    expect(tls?.notAfter).toBeLessThan(before + 5.6 * 86_400);
  });

  test('a chain that is whole is trusted', async () => {
    const cert = `${issued.deep?.cert}\n${intermediate.cert}`;
    expect(summary(await check(await serve('deep', { cert })))).toBe('up');
  });

  test.each([
    ['shop.test', 'up'],
    ['a.wild.test', 'up'],
    ['a.b.wild.test', 'down tls.hostname'],
    ['shop.test.evil.test', 'down tls.hostname'],
  ])('serverName %s makes it %s', async (serverName, expected) => {
    const names: (string | false)[] = [];
    const url = await serve('named', {
      SNICallback(name, done) {
        names.push(name);
        done(null);
      },
    });
    expect(summary(await check(url, {}, { request: { serverName } }))).toBe(expected);
    expect(names).toEqual([serverName]);
  });

  test('the name of the URL is what is asked for and verified, whatever is dialled', async () => {
    const url = await serve('named');
    const port = new URL(url).port;
    const request = { resolveTo: '127.0.0.1' };
    expect(summary(await check(`https://shop.test.:${port}/`, {}, { request }))).toBe('up');
    expect(summary(await check(`https://other.test:${port}/`, {}, { request }))).toBe('down tls.hostname');
  });

  test.each([
    [14, 'degraded expect.cert'],
    [6, 'degraded expect.cert'],
    [5, 'up'],
    [0, 'up'],
  ])('warned at %d days of five left it is %s', async (certDays, expected) => {
    expect(summary(await check(await serve('ending'), {}, { expect: { certDays } }))).toBe(expected);
  });
});

describe('versions', () => {
  const only = (version: SecureVersion): TlsOptions => ({
    minVersion: version,
    maxVersion: version,
    ...(version < 'TLSv1.2' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}),
  });
  test.each<[SecureVersion, string, string]>([
    ['TLSv1', '1.2', 'down tls.version'],
    ['TLSv1.1', '1.2', 'down tls.version'],
    ['TLSv1.2', '1.2', 'up'],
    ['TLSv1.2', '1.3', 'down tls.version'],
    ['TLSv1.3', '1.3', 'up'],
    ['TLSv1', '1.0', 'up'],
    ['TLSv1.1', '1.0', 'up'],
    ['TLSv1', '1.1', 'down tls.version'],
  ])('a server of %s asked for at least %s is %s', async (version, minVersion, expected) => {
    const seen = await check(await serve('good', only(version)), { minVersion });
    expect(summary(seen)).toBe(expected);
    if (seen.outcome === 'up') expect(seen.tls?.version).toBe(version);
  });
});

describe('client certificates', () => {
  test.each<['TLSv1.2' | 'TLSv1.3']>([['TLSv1.2'], ['TLSv1.3']])('%s', async (version) => {
    const url = await serve('good', {
      requestCert: true,
      rejectUnauthorized: true,
      ca: authority.cert,
      minVersion: version,
      maxVersion: version,
    });
    // In TLS 1.3 the refusal comes after the handshake: its alert may lose the race against the reset behind it.
    // In TLS 1.2 Node sends no alert; servers that do are in http-real.test.ts.
    const refused = version === 'TLSv1.2' ? /^down tls.handshake$/ : /^down (tls.client|request.reset)$/;
    expect(summary(await check(url))).toMatch(refused);
    const { cert, key } = issued.client ?? {};
    expect(summary(await check(url, { cert, key }))).toBe('up');
    expect(summary(await check(url, { cert: issued.self?.cert, key: issued.self?.key }))).toMatch(refused);
  });

  test('is shown to no origin that the endpoint did not name', async () => {
    const shown: (string | undefined)[] = [];
    const asks: TlsOptions = { requestCert: true, rejectUnauthorized: false };
    const watch =
      (answer: Answer): Answer =>
      (socket, asked) => {
        const peer = (
          socket as unknown as { getPeerCertificate(): { subject?: { CN?: string } } }
        ).getPeerCertificate();
        shown.push(peer.subject?.CN);
        answer(socket, asked);
      };
    const other = await serve('good', asks, watch(ok));
    const lead = says(whole('', [`Location: ${other}`], '302 Found'));
    const { cert, key } = issued.client ?? {};
    expect(summary(await check(await serve('good', asks, watch(lead)), { cert, key }))).toBe('up');
    expect(shown).toEqual(['a client', undefined]);
  });
});

describe('handshakes that go wrong', () => {
  const raw = async (greet: Parameters<typeof startRawServer>[1]) => {
    const server = await startRawServer(() => undefined, greet);
    servers.push(server);
    return `https://127.0.0.1:${server.port}/`;
  };
  const quick = { timeoutMs: 300 };

  test.each<[string, NonNullable<Parameters<typeof startRawServer>[1]>['greet'], string]>([
    ['plain HTTP', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'), 'down tls.handshake'],
    ['garbage', (socket) => socket.write(Buffer.alloc(4096, 0xa5)), 'down tls.handshake'],
    ['a banner', (socket) => socket.write('220 mail.test ESMTP\r\n'), 'down tls.handshake'],
    ['an alert', (socket) => socket.write(Buffer.from('15030300020250', 'hex')), 'down tls.handshake'],
    [
      'an alert about the version',
      (socket) => socket.write(Buffer.from('15030300020246', 'hex')),
      'down tls.version',
    ],
    ['an end', (socket) => socket.end(), 'down tls.handshake'],
    ['a reset', (socket) => void setTimeout(() => socket.resetAndDestroy(), 30), 'down tls.handshake'],
    ['silence', () => undefined, 'down tls.timeout'],
    [
      'a drip',
      (socket) => {
        // A ServerHello of 16 KiB that comes a byte at a time.
        socket.write(Buffer.from('1603034000020000', 'hex'));
        const timer = setInterval(() => socket.write('\0'), 20);
        socket.once('close', () => clearInterval(timer));
      },
      'down tls.timeout',
    ],
    [
      'a certificate without end',
      (socket) => {
        socket.write(Buffer.from('160303ffff02ffffff', 'hex'));
        const more = () => {
          while (!socket.destroyed && socket.write(Buffer.alloc(16_384)));
        };
        socket.on('drain', more);
        more();
      },
      'down tls.handshake',
    ],
  ])('%s', async (_, greet, expected) => {
    const seen = await check(await raw(greet ? { greet } : {}), {}, quick);
    expect(summary(seen)).toBe(expected);
    expect(seen.status).toBeNull();
    expect(seen.timings.wait).toBeNull();
    expect(seen.timings.total).toBeLessThan(600_000);
  });

  test('a redirect that leaves TLS is seen where TLS is required', async () => {
    const plain = await startRawServer(ok);
    servers.push(plain);
    const lead = says(whole('', [`Location: http://127.0.0.1:${plain.port}/`], '302 Found'));
    const url = await serve('good', {}, lead);
    const wish = { request: { bearer: 'secret' } };
    expect(summary(await check(url, {}, { ...wish, expect: { tls: 'required' } }))).toBe('down expect.tls');
    expect(await check(url, {}, wish)).toMatchObject({ outcome: 'up', redirects: 1, tls: null });
    expect(plain.asked.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
  });

  test('TLS where none is wanted', async () => {
    expect(summary(await check(await serve('good'), {}, { expect: { tls: 'forbidden' } }))).toBe(
      'down expect.tls',
    );
    expect(summary(await check(await serve('good'), {}, { expect: { tls: 'required' } }))).toBe('up');
  });

  test('no session is resumed: every check is a full handshake', async () => {
    const reused: boolean[] = [];
    const url = await serve('good', { maxVersion: 'TLSv1.2' }, (socket, asked) => {
      reused.push((socket as unknown as { isSessionReused(): boolean }).isSessionReused());
      ok(socket, asked);
    });
    for (let round = 0; round < 3; round += 1) await check(url);
    expect(reused).toEqual([false, false, false]);
  });

  test('the ClientHello comes after the connection: what is measured as connect is the network alone', async () => {
    // A server that is this slow to say hello must not make the connection look slow.
    const backend = new URL(await serve('good'));
    const url = await raw({
      greet(socket) {
        socket.pause();
        const to = connect(Number(backend.port), '127.0.0.1');
        to.on('error', () => socket.destroy());
        setTimeout(() => socket.pipe(to).pipe(socket), 100);
      },
    });
    const { timings, outcome } = await check(url);
    expect(outcome).toBe('up');
    expect(timings.tls).toBeGreaterThan(95_000);
    expect(timings.connect).toBeLessThan(50_000);
  });
});
