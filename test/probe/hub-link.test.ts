import { once } from 'node:events';
import { createServer as createHttp, type Server } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { zstdCompressSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { issueCertificate, makeAuthority } from '../../hub/demo/certificates.ts';
import { linkTrouble, openHubLink } from '../../probe/hub/open-hub-link.ts';
import { nonceHeader, proofHeader, verifyProof } from '../../shared/request-proof.ts';
import { testKey } from './fake-hub.ts';

const key = testKey();
const signal = new AbortController().signal;

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => void sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function open(over: Partial<Parameters<typeof openHubLink>[0]> & { readonly dial: string }) {
  const link = openHubLink({ hub: over.dial, key: key.privateKey, kid: key.kid, env: {}, ca: null, ...over });
  onTestFinished(() => link.close());
  return link;
}

const text = (body: Uint8Array) => Buffer.from(body).toString();

describe('a request to the hub', () => {
  test('is signed over method, public URL with its query, body and nonce; one that has passed is asked for anew', async () => {
    const proofs: string[] = [];
    let asked = 0;
    const port = await listen(
      createHttp((request, response) => {
        proofs.push(String(request.headers[proofHeader]));
        asked += 1;
        response.setHeader(nonceHeader, `nonce-${asked}`);
        if (asked === 1) response.writeHead(401).end('{"code":"proof.nonce"}');
        else response.end('fine');
      }),
    );
    const link = open({ dial: `http://127.0.0.1:${port}`, hub: 'https://hub.example/' });
    const body = Buffer.from('{"a":1}');
    const answer = await link.request('POST', '/v1/lease?x=1', { body, timeoutMs: 5000, signal });
    expect([answer.status, text(answer.body)]).toEqual([200, 'fine']);
    const claims = await Promise.all(
      proofs.map(async (proof) => (await verifyProof(proof, () => key.publicKey)).claims),
    );
    expect(claims).toMatchObject([
      { htm: 'POST', htu: 'https://hub.example/v1/lease?x=1', nonce: '' },
      { htm: 'POST', htu: 'https://hub.example/v1/lease?x=1', nonce: 'nonce-1' },
    ]);
  });

  test('is not repeated for ever where the hub refuses each nonce', async () => {
    let asked = 0;
    const port = await listen(
      createHttp((_request, response) => {
        asked += 1;
        response.writeHead(401).end('{"code":"proof.nonce"}');
      }),
    );
    const answer = await open({ dial: `http://127.0.0.1:${port}` }).request('GET', '/', {
      timeoutMs: 5000,
      signal,
    });
    expect([answer.status, asked]).toEqual([401, 2]);
  });

  test('ends in time where the hub never answers, or drips for ever', async () => {
    const port = await listen(
      createHttp((request, response) => {
        if (request.url === '/never') return;
        response.writeHead(200);
        const timer = setInterval(() => response.write('x'), 20);
        response.on('close', () => clearInterval(timer));
      }),
    );
    const link = open({ dial: `http://127.0.0.1:${port}` });
    for (const path of ['/never', '/drip']) {
      const since = performance.now();
      await expect(link.request('GET', path, { timeoutMs: 300, signal })).rejects.toThrow();
      expect(performance.now() - since).toBeLessThan(3000);
    }
  });

  test('takes no answer that inflates without end, nor one in a coding it did not ask for', async () => {
    const bomb = zstdCompressSync(Buffer.alloc(80 * 1024 * 1024));
    const port = await listen(
      createHttp((request, response) => {
        if (request.url === '/bomb') response.writeHead(200, { 'content-encoding': 'zstd' }).end(bomb);
        else if (request.url === '/fine')
          response.writeHead(200, { 'content-encoding': 'zstd' }).end(zstdCompressSync(Buffer.from('fine')));
        else response.writeHead(200, { 'content-encoding': 'br' }).end('x');
      }),
    );
    const link = open({ dial: `http://127.0.0.1:${port}` });
    const options = { timeoutMs: 10_000, signal };
    expect(bomb.length).toBeLessThan(100_000);
    await expect(link.request('GET', '/bomb', options)).rejects.toThrow(/larger than|too large/i);
    await expect(link.request('GET', '/br', options)).rejects.toThrow(/encoded as br/);
    expect(text((await link.request('GET', '/fine', options)).body)).toBe('fine');
  });

  test('follows no redirect', async () => {
    const port = await listen(
      createHttp((_request, response) => response.writeHead(302, { location: '/x' }).end()),
    );
    const link = open({ dial: `http://127.0.0.1:${port}` });
    expect((await link.request('GET', '/', { timeoutMs: 5000, signal })).status).toBe(302);
  });

  test('that cannot be made says why in short words', async () => {
    const port = await listen(createHttp());
    const closed = await new Promise<number>((done) => {
      const server = createHttp().listen(0, '127.0.0.1', () => {
        const { port: free } = server.address() as AddressInfo;
        server.close(() => done(free));
      });
    });
    expect(closed).not.toBe(port);
    const why = await open({ dial: `http://127.0.0.1:${closed}` })
      .request('GET', '/', { timeoutMs: 5000, signal })
      .catch(linkTrouble);
    expect(why).toBe('nobody listens there (ECONNREFUSED)');
  });
});

describe('the way to the hub', () => {
  async function httpsHub() {
    const authority = await makeAuthority(Date.now());
    const [notBeforeMs, notAfterMs] = [Date.now() - 60_000, Date.now() + 3_600_000];
    const subject = { dns: ['localhost'], ips: ['127.0.0.1'], notBeforeMs, notAfterMs };
    const certificates = await issueCertificate(authority, subject);
    const server = createHttps({ cert: certificates.cert, key: certificates.key }, (_request, response) =>
      response.end('over TLS'),
    );
    return { port: await listen(server), ca: authority.cert };
  }

  test('over TLS needs an authority that is known: a public one, or that of --hub-ca', async () => {
    const { port, ca } = await httpsHub();
    const dial = `https://localhost:${port}`;
    const options = { timeoutMs: 5000, signal };
    await expect(open({ dial }).request('GET', '/', options)).rejects.toThrow();
    expect(text((await open({ dial, ca }).request('GET', '/', options)).body)).toBe('over TLS');
  });

  test('goes through the proxy of HTTPS_PROXY, which sees nothing of it, unless NO_PROXY names the hub', async () => {
    const { port, ca } = await httpsHub();
    const seen: string[] = [];
    let bytes = '';
    const proxy = createHttp();
    proxy.on('connect', (request, client: Socket) => {
      seen.push(String(request.url));
      const upstream = connect(port, '127.0.0.1', () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n');
        client.on('data', (chunk) => {
          bytes += chunk.toString('latin1');
        });
        client.pipe(upstream).pipe(client);
      });
      upstream.on('error', () => client.destroy());
      client.on('error', () => upstream.destroy());
    });
    const env = { HTTPS_PROXY: `http://127.0.0.1:${await listen(proxy)}` };
    const dial = `https://localhost:${port}`;
    const options = { timeoutMs: 5000, signal };
    expect(text((await open({ dial, ca, env }).request('GET', '/v1/secret', options)).body)).toBe('over TLS');
    expect(seen).toEqual([`localhost:${port}`]);
    expect(bytes).not.toContain('/v1/secret');
    const direct = open({ dial, ca, env: { ...env, NO_PROXY: 'localhost' } });
    expect(text((await direct.request('GET', '/', options)).body)).toBe('over TLS');
    expect(seen.length).toBe(1);
  });
});
