import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { freePort } from '../../../hub/process/port.ts';
import type { Checker } from '../../../probe/checks/check.ts';
import type { Observation } from '../../../shared/result.ts';
import { type RealServer, realServer, serverCommand } from '../../harness/real-server.ts';
import { issue } from './certificates.ts';
import { checkOnce, startChecker } from './scene.ts';

const nginx = serverCommand('nginx', 'nginx');

const summary = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();

/** What most WebSocket and gRPC servers stand behind: its own answers come where the server does not. */
describe.skipIf(!nginx)('behind nginx', () => {
  let checker: Checker;
  let folder: string;
  let server: RealServer;
  let sockets: WebSocketServer;
  let health: Http2Server;
  let ca: string;
  const ports: Record<'plain' | 'secure' | 'h2c' | 'h2', number> = { plain: 0, secure: 0, h2c: 0, h2: 0 };

  beforeAll(async () => {
    checker = await startChecker();
    sockets = new WebSocketServer({
      port: 0,
      host: '127.0.0.1',
      handleProtocols: ([first]) => first ?? false,
    });
    sockets.on('connection', (socket) => {
      socket.on('message', (data, binary) => socket.send(data, { binary }));
    });
    await once(sockets, 'listening');
    health = createServer();
    health.on('stream', (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
    });
    health.listen(0, '127.0.0.1');
    await once(health, 'listening');
    folder = await mkdtemp(join(tmpdir(), 'parallax-nginx-'));
    // Its workers are another user's, where root starts it.
    await chmod(folder, 0o755);
    const authority = await issue({ name: 'Test authority', ca: true });
    const pair = await issue({ dns: ['localhost'], ips: ['127.0.0.1'] }, authority);
    ca = authority.cert;
    await writeFile(join(folder, 'cert.pem'), pair.cert);
    await writeFile(join(folder, 'key.pem'), pair.key);
    for (const name of ['plain', 'secure', 'h2c', 'h2'] as const) ports[name] = await freePort();
    const ws = (sockets.address() as AddressInfo).port;
    const grpc = (health.address() as AddressInfo).port;
    const dead = await freePort();
    const tls = 'ssl_certificate cert.pem; ssl_certificate_key key.pem;';
    const socketPlaces = `
      location / { proxy_pass http://127.0.0.1:${ws}; proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
      location /forgotten { proxy_pass http://127.0.0.1:${ws}; }
      location /dead { proxy_pass http://127.0.0.1:${dead}; proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
      location /moved { return 301 /; }`;
    const config = `
      daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;
      events { worker_connections 64; }
      http {
        access_log off;
        client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
        uwsgi_temp_path uwsgi; scgi_temp_path scgi;
        server { listen 127.0.0.1:${ports.plain}; ${socketPlaces} }
        server { listen 127.0.0.1:${ports.secure} ssl; ${tls} ${socketPlaces} }
        server { listen 127.0.0.1:${ports.h2c} http2; location / { grpc_pass grpc://127.0.0.1:${grpc}; } }
        server { listen 127.0.0.1:${ports.h2} ssl http2; ${tls}
          location / { grpc_pass grpc://127.0.0.1:${grpc}; } }
        server { listen 127.0.0.1:${ports.h2} ssl http2; ${tls} server_name dead.test;
          location / { grpc_pass grpc://127.0.0.1:${dead}; } }
      }`;
    await writeFile(join(folder, 'nginx.conf'), config);
    server = await realServer({
      command: nginx ?? '',
      args: ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'],
      port: ports.plain,
    });
  });
  afterAll(async () => {
    await server?.stop();
    for (const client of sockets.clients) client.terminate();
    sockets.close();
    health.close();
    await checker.close();
    await rm(folder, { recursive: true, force: true });
  });

  const steps = [{ send: 'ping 1', expect: '^ping [0-9]$' }];
  test.each<[path: string, request: object, expected: object, summary: string]>([
    ['/', {}, {}, 'up'],
    ['/', { steps }, {}, 'up'],
    ['/', { steps, closeWith: 1000 }, { closeCode: 1000 }, 'up'],
    ['/', { subprotocols: ['chat'] }, { subprotocol: 'chat' }, 'up'],
    ['/', { compression: 'deflate', steps }, {}, 'up'],
    ['/forgotten', {}, {}, 'down expect.status'],
    ['/forgotten', {}, { status: ['426'] }, 'up'],
    ['/dead', {}, {}, 'down expect.status'],
    ['/moved', {}, {}, 'down expect.status'],
  ])('ws%s asked %j and expecting %j is %s', async (path, request, expected, said) => {
    const plain = await checkOnce(checker, `ws://127.0.0.1:${ports.plain}${path}`, {
      request,
      expect: expected,
    });
    expect(summary(plain), JSON.stringify(plain)).toBe(said);
    const secure = await checkOnce(checker, `wss://127.0.0.1:${ports.secure}${path}`, {
      request: { ...request, tls: { ca } },
      expect: expected,
    });
    expect(summary(secure), JSON.stringify(secure)).toBe(said);
    expect(secure.tls?.version).toMatch(/^TLSv1\.[23]$/);
  });

  test.each<[place: 'h2c' | 'h2' | 'plain', request: object, summary: string]>([
    ['h2c', {}, 'up'],
    ['h2', {}, 'up'],
    // nginx answers for what is dead behind it: HTTP status 200 with grpc-status 14, or 502.
    ['h2', { authority: 'dead.test' }, 'down expect.status|down protocol.invalid'],
    ['plain', {}, 'down http.protocol|down request.reset'],
  ])('grpc at %s asked %j is %s', async (place, request, said) => {
    const scheme = place === 'h2' ? 'grpcs' : 'grpc';
    const seen = await checkOnce(checker, `${scheme}://127.0.0.1:${ports[place]}/shop`, {
      request: { ...request, ...(place === 'h2' ? { tls: { ca } } : {}) },
    });
    expect(said.split('|'), JSON.stringify(seen)).toContain(summary(seen));
  });
});
