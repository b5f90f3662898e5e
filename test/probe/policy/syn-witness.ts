// Runs in a network namespace of its own, where every address leads to the loopback device: whatever is dialled shows
// in the kernel's count of connections opened. Prints that count after each step, one JSON object.
import { readFileSync } from 'node:fs';
import { startDnsServer } from '../checks/dns-server.ts';
import { assignmentOf, policyOf, startChecker } from '../checks/scene.ts';
import { startRawServer, whole } from '../checks/servers.ts';

/** One of the kernel's counts for IPv4, or both protocols where it keeps one for both. */
function counted(protocol: 'Tcp' | 'Udp' | 'Icmp', name: string): number {
  const [names = [], values = []] = readFileSync('/proc/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith(`${protocol}:`))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf(name)]);
}

function counted6(name: string): number {
  const line = readFileSync('/proc/net/snmp6', 'utf8')
    .split('\n')
    .find((each) => each.split(/\s+/)[0] === name);
  return Number(line?.split(/\s+/)[1]);
}

/** RFC 4022 tcpActiveOpens: raised when a SYN is sent, for IPv4 and IPv6 alike. */
const activeOpens = () => counted('Tcp', 'ActiveOpens');
const datagrams = () => counted('Udp', 'OutDatagrams') + counted6('Udp6OutDatagrams');
const echoRequests = () => counted('Icmp', 'OutEchos') + counted6('Icmp6OutEchos');

const forbidden = [
  '127.0.0.2',
  '127.1',
  '2130706434',
  '0x7f.2',
  '0177.0.0.2',
  '10.0.0.1',
  '172.16.0.1',
  '192.168.0.1',
  '100.64.0.1',
  '169.254.169.254',
  '0.0.0.0',
  '224.0.0.1',
  '255.255.255.255',
  '[::1]',
  '[::]',
  '[fe80::1]',
  '[fd00:ec2::254]',
  '[fc00::1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:10.0.0.1]',
  '[::127.0.0.1]',
  '[64:ff9b::10.0.0.1]',
  '[2002:a00:1::1]',
  '[2001:0:a00:1::1]',
];

const site = await startRawServer((socket, { path }) =>
  path === '/' ? socket.end(whole('hi')) : socket.end(whole('', [`Location: ${path.slice(1)}`], '302 Found')),
);
const dns = await startDnsServer((name, type) => {
  const six = name.startsWith('v6-') ? name.slice(3).replace('.test', '').replaceAll('-', ':') : null;
  if (six !== null) return type === 'AAAA' ? [six] : [];
  return type === 'A' ? [name.replace('.test', '').replaceAll('-', '.')] : [];
});
const checker = await startChecker({ policy: policyOf(`127.0.0.1:${site.port}`), dnsServer: dns.address });
const codes: Record<string, string> = {};
const signal = new AbortController().signal;
async function count(
  step: string,
  urls: readonly string[],
  request: object = {},
  sent: () => number = activeOpens,
): Promise<number> {
  const before = sent();
  for (const url of urls) {
    const { failure, outcome } = await checker.check(assignmentOf(url, { request, timeoutMs: 300 }), signal);
    codes[`${step} ${url}`] = failure?.code ?? outcome;
  }
  return sent() - before;
}

const bare = forbidden.map((host) => new URL(`http://${host}/`).hostname);
const v4 = bare.filter((host) => !host.startsWith('['));
const v6 = ['fc00::1', 'fe80::1', '::ffff:a00:1'].map((each) => `v6-${each.replaceAll(':', '-')}.test`);
const opened = {
  // A check that may leave, so that the counting itself is seen to work.
  control: await count('control', [`http://127.0.0.1:${site.port}/`]),
  // What a policy that had let it pass would have shown: public addresses lead to the loopback device here.
  publicControl: await count('publicControl', ['http://9.9.9.9/', 'http://[2620:fe::fe]/']),
  literal: await count(
    'literal',
    forbidden.map((host) => `http://${host}/`),
  ),
  tls: await count(
    'tls',
    forbidden.map((host) => `https://${host}/`),
  ),
  otherPort: await count('otherPort', ['http://127.0.0.1:1/']),
  mail: await count('mail', ['http://9.9.9.9:25/']),
  name: await count('name', [
    ...v4.map((host) => `http://${host.replaceAll('.', '-')}.test/`),
    ...v6.map((name) => `http://${name}/`),
  ]),
  // One connection each, to the site that redirects.
  redirect:
    (await count(
      'redirect',
      bare.map((host) => `http://127.0.0.1:${site.port}/http://${host}/`),
    )) - bare.length,
  resolveTo: 0,
  // The same for what is sent without a connection.
  publicDatagram: await count(
    'publicDatagram',
    ['dns://9.9.9.9/a.test', 'dns://[2620:fe::fe]/a.test'],
    {},
    datagrams,
  ),
  datagram: await count(
    'datagram',
    bare.map((host) => `dns://${host}/a.test`),
    {},
    datagrams,
  ),
  publicEcho: await count(
    'publicEcho',
    ['ping://9.9.9.9', 'ping://[2620:fe::fe]'],
    { count: 1 },
    echoRequests,
  ),
  echo: await count(
    'echo',
    bare.map((host) => `ping://${host}`),
    { count: 1 },
    echoRequests,
  ),
};
for (const host of bare) {
  const request = { resolveTo: host.replace(/^\[|\]$/g, '') };
  opened.resolveTo += await count(`resolveTo ${host}`, ['http://shop.example/'], request);
}
console.log(JSON.stringify({ opened, codes }));
await checker.close();
await Promise.all([site.close(), dns.close()]);
