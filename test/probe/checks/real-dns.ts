import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../../hub/process/port.ts';
import { realServer, serverCommand, serverMissing } from '../../harness/real-server.ts';
import { issue } from './certificates.ts';

const run = promisify(execFile);

/** Programs of this machine; null, said loudly, where one is missing. */
export interface DnsPrograms {
  readonly named: string;
  readonly nsd: string;
  readonly unbound: string;
  readonly keygen: string;
  readonly signzone: string;
}

export function dnsPrograms(): DnsPrograms | null {
  const named = serverCommand('named', 'bind9');
  const nsd = serverCommand('nsd', 'nsd');
  const unbound = serverCommand('unbound', 'unbound');
  const keygen = serverCommand('dnssec-keygen', 'bind9-utils');
  const signzone = serverCommand('dnssec-signzone', 'bind9-utils');
  if (!named || !nsd || !unbound || !keygen || !signzone) return null;
  // Name servers of a zone are asked at port 53, whatever port a resolver has.
  if (process.getuid?.() !== 0) return serverMissing('right to listen at port 53', 'nothing: run as root');
  return { named, nsd, unbound, keygen, signzone };
}

export interface RealDns {
  /** BIND, authoritative for all zones. With its port. */
  readonly bind: string;
  /** NSD, authoritative at port 53; the second holds an older shop.example and no lame.example. */
  readonly first: string;
  readonly second: string;
  /** Unbound, which validates shop.example and finds bogus.example forged. */
  readonly resolver: string;
  readonly tlsPort: number;
  /** PEM, for the resolver's DNS over TLS; its certificate is for `resolver.test`. */
  readonly ca: string;
  stop(): Promise<void>;
}

const first = '127.53.0.1';
const second = '127.53.0.2';
const long = Array.from({ length: 20 }, (_, index) => `big TXT "${String(index).padStart(200, 'x')}"`);

const zoneText = (serial: number) => `
$TTL 300
@ SOA ns1.shop.example. root.shop.example. ${serial} 3600 600 86400 60
@ NS ns1.shop.example.
@ NS ns2.shop.example.
ns1 A ${first}
ns2 A ${second}
@ A 192.0.2.1
@ A 192.0.2.2
@ AAAA 2001:db8::1
@ MX 10 mail
@ TXT "v=spf1 include:_spf.shop.example" " -all"
@ CAA 0 issue "ca.example"
www CNAME @
_http._tcp SRV 1 2 443 www
${long.join('\n')}
`;

/** Nothing here is of any use to anybody beyond a few seconds. */
export async function startRealDns({ named, nsd, unbound, keygen, signzone }: DnsPrograms): Promise<RealDns> {
  const dir = await mkdtemp(join(tmpdir(), 'parallax-dns-'));
  const sign = async (zone: string, file: string) => {
    const out = join(dir, `${file}.signed`);
    await run(signzone, ['-S', '-K', dir, '-d', dir, '-o', zone, '-f', out, join(dir, file)], { cwd: dir });
  };
  for (const zone of ['shop.example', 'bogus.example'])
    for (const flag of [['-f', 'KSK'], []])
      await run(keygen, ['-q', '-K', dir, '-a', 'ECDSAP256SHA256', ...flag, zone]);
  await writeFile(join(dir, 'new'), zoneText(2026_11_02));
  await writeFile(join(dir, 'old'), zoneText(2026_11_01));
  await sign('shop.example', 'new');
  await sign('shop.example', 'old');
  await writeFile(join(dir, 'bogus'), zoneText(1).replaceAll('shop.example', 'bogus.example'));
  const keys = await readdir(dir);
  const anchors = [];
  for (const name of keys.filter((one) => /^K.*\.key$/.test(one))) anchors.push(join(dir, name));
  const zones = (file: string) => [
    ['shop.example', `${file}.signed`],
    ['2.0.192.in-addr.arpa', 'reverse'],
    ...(file === 'new'
      ? [
          ['lame.example', 'lame'],
          ['bogus.example', 'bogus'],
        ]
      : []),
  ];
  const startBind = async () => {
    const config = join(dir, 'named.conf');
    const port = await freePort();
    await writeFile(
      config,
      `options { directory "${dir}"; listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; };
        recursion no; pid-file none; lock-file none; session-keyfile "${dir}/session";
        dnssec-validation no; notify no; allow-query { any; }; };
      controls { };
      ${zones('new')
        .map(([name, file]) => `zone "${name}" { type primary; file "${dir}/${file}"; };`)
        .join('\n')}`,
    );
    return realServer({ command: named, args: ['-g', '-n', '1', '-c', config], port });
  };
  // BIND listens on the addresses of interfaces alone, NSD on any of loopback.
  const startNsd = async (address: string, file: string) => {
    const config = join(dir, `nsd-${address}.conf`);
    await writeFile(
      config,
      `server:
  ip-address: ${address}@53
  server-count: 1
  username: ""
  chroot: ""
  pidfile: ""
  database: ""
  zonesdir: "${dir}"
  xfrdfile: "${dir}/xfrd-${address}"
  xfrdir: "${dir}"
  zonelistfile: "${dir}/zones-${address}"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
${zones(file)
  .map(([name, zone]) => `zone:\n  name: "${name}"\n  zonefile: "${zone}"\n`)
  .join('')}`,
    );
    return realServer({
      command: nsd,
      args: ['-d', '-c', config],
      port: 53,
      ready: () => takesConnections(address, 53),
    });
  };
  await writeFile(
    join(dir, 'reverse'),
    `$TTL 60\n@ SOA ns1.shop.example. root.shop.example. 1 1 1 1 1\n@ NS ns1.shop.example.\n1 PTR www.shop.example.\n`,
  );
  // Its second name server does not know it.
  await writeFile(
    join(dir, 'lame'),
    `$TTL 60\n@ SOA ns1.shop.example. root.shop.example. 7 1 1 1 1\n@ NS ns1.shop.example.\n@ NS gone.lame.example.\n@ A 192.0.2.7\ngone A 127.53.0.9\n`,
  );
  const port = await freePort();
  const tlsPort = await freePort();
  const authority = await issue({ name: 'authority', ca: true });
  const leaf = await issue({ dns: ['resolver.test'] }, authority);
  await writeFile(join(dir, 'tls.pem'), leaf.cert);
  await writeFile(join(dir, 'tls.key'), leaf.key);
  const stub = (zone: string) => `stub-zone:\n  name: "${zone}"\n  stub-addr: ${first}\n`;
  await writeFile(
    join(dir, 'unbound.conf'),
    `server:
  directory: "${dir}"
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1@${port}
  interface: 127.0.0.1@${tlsPort}
  tls-port: ${tlsPort}
  tls-service-key: "${dir}/tls.key"
  tls-service-pem: "${dir}/tls.pem"
  do-ip6: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  ede: yes
  local-zone: "2.0.192.in-addr.arpa." nodefault
${anchors.map((file) => `  trust-anchor-file: "${file}"`).join('\n')}
remote-control:
  control-enable: no
${['shop.example', 'bogus.example', 'lame.example', '2.0.192.in-addr.arpa'].map(stub).join('')}`,
  );
  const servers = await Promise.all([
    startBind(),
    startNsd(first, 'new'),
    startNsd(second, 'old'),
    realServer({
      command: unbound,
      args: ['-d', '-p', '-c', join(dir, 'unbound.conf')],
      port,
    }),
  ]);
  return {
    bind: `127.0.0.1:${servers[0].port}`,
    first,
    second,
    resolver: `127.0.0.1:${port}`,
    tlsPort,
    ca: authority.cert,
    async stop() {
      await Promise.all(servers.map((server) => server.stop()));
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function takesConnections(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('connect', () => socket.destroy());
    socket.once('error', () => resolve(false));
    socket.once('close', (failed) => resolve(!failed));
  });
}
