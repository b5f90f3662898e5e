import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { freePort } from '../../hub/process/port.ts';
import { type RealServer, realServer } from '../harness/real-server.ts';
import { type Issued, issue } from './checks/certificates.ts';

/** A folder that other users can read, with an authority, and certificates of its making. */
export interface Pki {
  readonly folder: string;
  readonly ca: string;
  /** For 127.0.0.1, and as files `cert.pem` and `key.pem`; `ca.pem` beside them. */
  readonly local: Issued;
  /** For vhost.example.com and login.example.com alone: `vhost.pem` and `vhost-key.pem`. */
  readonly vhost: Issued;
  /** Of an authority that nobody trusts. */
  readonly stranger: Issued;
  readonly client: Issued;
  /** A folder in it with `cert.pem` and `key.pem`, for a server that keeps more there. */
  copy(): Promise<string>;
  remove(): Promise<void>;
}

export async function makePki(): Promise<Pki> {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-examples-'));
  await chmod(folder, 0o755);
  const authority = await issue({ name: 'Test authority', ca: true });
  const here = { dns: ['localhost'], ips: ['127.0.0.1'] };
  const local = await issue(here, authority);
  const vhost = await issue({ dns: ['vhost.example.com', 'login.example.com'] }, authority);
  const stranger = await issue(here, await issue({ name: 'Somebody', ca: true }));
  const client = await issue({ name: 'a client' }, authority);
  const files = {
    'ca.pem': authority.cert,
    'cert.pem': local.cert,
    'key.pem': local.key,
    'vhost.pem': vhost.cert,
    'vhost-key.pem': vhost.key,
    'stranger.pem': stranger.cert,
    'stranger-key.pem': stranger.key,
    'client.pem': client.cert,
    'client-key.pem': client.key,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const copy = async () => {
    const inner = await mkdtemp(join(folder, 'server-'));
    await chmod(inner, 0o755);
    await writeFile(join(inner, 'cert.pem'), local.cert);
    await writeFile(join(inner, 'key.pem'), local.key, { mode: 0o600 });
    return inner;
  };
  const remove = () => rm(folder, { recursive: true, force: true });
  return { folder, ca: authority.cert, local, vhost, stranger, client, copy, remove };
}

export interface Web {
  readonly server: RealServer;
  readonly http: number;
  readonly https: number;
  /** With a certificate for the virtual hosts alone. */
  readonly vhosts: number;
  /** With a certificate that nobody trusts. */
  readonly stranger: number;
  /** Asks for the client's certificate. */
  readonly mutual: number;
  readonly proxy: number;
}

/** An nginx with what the HTTP examples look for, right and broken. */
export async function startWeb(nginx: string, { folder }: Pki): Promise<Web> {
  const names = ['http', 'https', 'vhosts', 'stranger', 'mutual', 'proxy', 'inner'] as const;
  const ports = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await freePort()] as const)),
  ) as Record<(typeof names)[number], number>;
  const root = join(folder, 'root');
  await mkdir(root);
  const page = 'hello, and Download the latest version here\n'.repeat(100);
  await writeFile(join(root, 'index.txt'), page);
  await writeFile(join(root, 'zipped'), gzipSync(page));
  // openssl passwd -apr1 would need openssl: {PLAIN} is nginx's own.
  await writeFile(join(folder, 'users'), 'username:{PLAIN}mysecret\n');
  const places = `
    root ${root}; default_type text/plain;
    location = / { return 200 "hello"; }
    location = /page { alias ${root}/index.txt; gzip on; gzip_types text/plain; gzip_min_length 10; }
    location = /zipped { add_header Content-Encoding gzip; alias ${root}/zipped; }
    location = /lie { add_header Content-Encoding gzip; return 200 "not zipped"; }
    location = /broken { return 500 "oops"; }
    location = /gone { return 404 "gone"; }
    location = /moved { return 302 /; }
    location = /astray { return 302 /gone; }
    location = /loop { return 302 /loop; }
    location = /orders { if ($request_method != POST) { return 405 ""; } return 201 "made"; }
    location = /login { auth_basic "members"; auth_basic_user_file ${folder}/users;
      proxy_pass http://127.0.0.1:${ports.inner}; }
    location = /status { default_type application/json; return 200 '{"foo":"bar","baz":"qux"}'; }
    location = /ill { default_type application/json; return 200 '{"foo":"bar","baz":"rux"}'; }`;
  const vhost = (path: string, body: string, more: string) =>
    `location = ${path} { ${more} default_type text/plain; return 200 "${body}"; }`;
  const good = 'Download the latest version here';
  const virtual = `
    ${vhost('/', good, 'add_header Access-Control-Allow-Origin *;')}
    ${vhost('/no-cors', good, '')}
    ${vhost('/other-cors', good, 'add_header Access-Control-Allow-Origin other.test;')}
    ${vhost('/cookie', good, 'add_header Access-Control-Allow-Origin *; add_header Set-Cookie a=1;')}
    ${vhost('/database', `${good}. Could not connect to database`, 'add_header Access-Control-Allow-Origin *;')}
    ${vhost('/other', 'hello', 'add_header Access-Control-Allow-Origin *;')}`;
  const tls = (name: string, key: string) => `ssl_certificate ${name}.pem; ssl_certificate_key ${key}.pem;`;
  const config = `
    daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;
    events { worker_connections 128; }
    http {
      access_log off;
      client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
      uwsgi_temp_path uwsgi; scgi_temp_path scgi;
      server { listen 127.0.0.1:${ports.http} default_server; ${places} }
      server { listen 127.0.0.1:${ports.http}; server_name vhost.example.com; ${virtual} }
      server { listen 127.0.0.1:${ports.https} ssl http2; ${tls('cert', 'key')} ${places} }
      server { listen 127.0.0.1:${ports.vhosts} ssl http2 default_server; ${tls('vhost', 'vhost-key')} ${places} }
      server { listen 127.0.0.1:${ports.vhosts} ssl http2; server_name vhost.example.com;
        ${tls('vhost', 'vhost-key')} ${virtual} }
      server { listen 127.0.0.1:${ports.stranger} ssl; ${tls('stranger', 'stranger-key')} ${places} }
      server { listen 127.0.0.1:${ports.mutual} ssl; ${tls('cert', 'key')}
        ssl_client_certificate ca.pem; ssl_verify_client on; ${places} }
      server { listen 127.0.0.1:${ports.inner}; location / { return 200 "welcome"; } }
      server { listen 127.0.0.1:${ports.proxy}; location / { proxy_pass http://$http_host$request_uri; } }
    }`;
  await writeFile(join(folder, 'nginx.conf'), config);
  const server = await realServer({
    command: nginx,
    args: ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'],
    port: ports.http,
  });
  return { server, ...ports };
}

/** What a server says: a line at once, then an answer to each line that it hears; null answers nothing, `tls` upgrades. */
export interface Script {
  readonly greeting?: string;
  readonly answers?: (line: string) => string | null;
  /** What is answered to, in clear, before the connection changes to TLS. */
  readonly upgrade?: RegExp;
  /** TLS from the start. */
  readonly secure?: boolean;
  readonly stranger?: boolean;
}

export interface LineServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** A server of lines, as mail, chat and shells have them. */
export async function startLineServer(script: Script, pki: Pki): Promise<LineServer> {
  const pair = script.stranger ? pki.stranger : pki.local;
  const keys = { cert: pair.cert, key: pair.key };
  const open = new Set<Socket>();
  const talk = (socket: Socket, greets: boolean) => {
    socket.on('error', () => undefined);
    if (greets && script.greeting !== undefined) socket.write(script.greeting);
    let text = '';
    const onData = (chunk: Buffer) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end).replace(/\r$/, '');
        text = text.slice(end + 1);
        const answer = script.answers?.(line) ?? null;
        if (answer !== null) socket.write(answer);
        if (!script.upgrade?.test(line)) continue;
        socket.off('data', onData);
        const secure = new TLSSocket(socket, { isServer: true, ...keys });
        return talk(secure, false);
      }
    };
    socket.on('data', onData);
  };
  const serve = (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    talk(socket, true);
  };
  const server: Server = script.secure ? createTlsServer(keys, serve) : createServer(serve);
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** An unbound that knows the names of the DNS examples by heart. */
export async function startUnbound(
  unbound: string,
  folder: string,
  lines: readonly string[],
): Promise<RealServer> {
  const port = await freePort();
  const file = join(folder, `unbound-${port}.conf`);
  await writeFile(
    file,
    `server:
  directory: "${folder}"
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1@${port}
  do-ip6: no
  module-config: "iterator"
${lines.map((line) => `  ${line}\n`).join('')}remote-control:
  control-enable: no
`,
  );
  return realServer({ command: unbound, args: ['-d', '-p', '-c', file], port });
}

/** gRPC's C core with the health service; `services` beside those that it has. */
export async function startHealth(
  python: string,
  { folder }: Pki,
  services: Readonly<Record<string, number>>,
  files: readonly [cert: string, key: string] = ['cert.pem', 'key.pem'],
): Promise<RealServer & { readonly tlsPort: number }> {
  const [port, tlsPort] = [await freePort(), await freePort()];
  const server = await realServer({
    command: python,
    args: [
      join(import.meta.dirname, 'checks/grpc-health-server.py'),
      `${port}`,
      `${tlsPort}`,
      ...files.map((file) => join(folder, file)),
      ...Object.entries(services).map(([name, status]) => `${name}=${status}`),
    ],
    port,
    ready: (_, output) => output.includes('serving'),
  });
  return { ...server, tlsPort };
}
