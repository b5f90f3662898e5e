// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${NAME} is what a step sends of what it captured
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../../hub/store/embedded/start.ts';
import type { Checker } from '../../../probe/checks/check.ts';
import type { Observation } from '../../../shared/result.ts';
import type { Starttls } from '../../../shared/starttls.ts';
import { type Issued, issue } from './certificates.ts';
import { checkOnce, startChecker } from './scene.ts';
import { dovecotPorts, starttlsServers } from './starttls-servers.ts';

let checker: Checker;
let authority: Issued;
let good: Issued;
const cleanup: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  checker = await startChecker();
  authority = await issue({ name: 'Test authority', ca: true });
  good = await issue({ dns: ['localhost'], ips: ['127.0.0.1'] }, authority);
});
afterAll(async () => {
  for (const clean of cleanup.reverse()) await clean();
  await checker.close();
});

const summary = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'parallax-starttls-'));
  // The users that a server changes to must pass through.
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'cert.pem'), good.cert);
  writeFileSync(join(folder, 'key.pem'), good.key);
  chmodSync(join(folder, 'key.pem'), 0o600);
  cleanup.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function looksGood(preset: Starttls, port: number, name = '127.0.0.1'): Promise<void> {
  const tls = { ca: authority.cert };
  const request = { starttls: preset, resolveTo: '127.0.0.1', tls };
  const url = `${name}:${port}`;
  const looked = await checkOnce(checker, `tls://${url}`, { request, timeoutMs: 5000 });
  expect(summary(looked), JSON.stringify(looked)).toBe('up');
  expect(looked.tls?.issuer).toBe('CN=Test authority');
  expect(looked.facts).toMatchObject({ starttls: preset, names: ['localhost', '127.0.0.1'] });
  const other = await checkOnce(checker, `tls://${url}`, {
    request: { ...request, serverName: 'other.test' },
    timeoutMs: 5000,
  });
  // A server of XMPP has no stream for a name that it does not serve.
  expect(summary(other)).toBe(preset === 'xmpp' ? 'down protocol.refused' : 'down tls.hostname');
}

async function talk(port: number, request: object, expected = 'up'): Promise<Observation> {
  const seen = await checkOnce(checker, `tcp://127.0.0.1:${port}`, {
    request: { tls: { ca: authority.cert }, ...request },
    timeoutMs: 5000,
  });
  expect(summary(seen), JSON.stringify(seen)).toBe(expected);
  return seen;
}

const dovecot = starttlsServers.dovecot();
describe.skipIf(!dovecot)('dovecot', () => {
  let imap = 0;
  let ports = { imaps: 0, pop3: 0 };
  beforeAll(async () => {
    const folder = newFolder();
    const server = await dovecot?.(folder);
    cleanup.push(() => server?.stop());
    imap = server?.port ?? 0;
    ports = dovecotPorts(readFileSync(join(folder, 'dovecot.conf'), 'utf8'));
  }, 30_000);

  test('imap by its preset, signed in under TLS', async () => {
    await looksGood('imap', imap);
    const steps = [
      { send: 'b1 LOGIN ann open-sesame\\r\\n', expect: '^b1 OK' },
      { send: 'b2 LOGOUT\\r\\n', expect: '^b2 OK' },
    ];
    const seen = await talk(imap, { starttls: 'imap', steps });
    expect(seen.facts?.banner).toMatch(/^\* OK \[CAPABILITY .*Dovecot/);
    const wrong = [{ send: 'b1 LOGIN ann wrong-password\\r\\n', expect: '^b1 OK' }];
    const refused = await checkOnce(checker, `tcp://127.0.0.1:${imap}`, {
      request: { tls: { ca: authority.cert }, starttls: 'imap', steps: wrong },
      timeoutMs: 3500,
    });
    expect(summary(refused)).toBe('down expect.response');
    expect(refused.facts?.lastLine).toMatch(/^b1 NO \[AUTHENTICATIONFAILED\]/);
    expect(JSON.stringify(refused)).not.toContain('wrong-password');
  });
  test('imap by steps, as blackbox_exporter writes them', async () => {
    const steps = [
      { expect: 'OK.*STARTTLS' },
      { send: '. STARTTLS\\r\\n' },
      { expect: 'OK' },
      { starttls: true },
      { send: '. capability\\r\\n' },
      { expect: 'CAPABILITY IMAP4rev1' },
    ];
    const seen = await talk(imap, { steps });
    expect(seen.tls?.version).toBe('TLSv1.3');
  });
  test('imaps', async () => {
    await talk(ports.imaps, { secure: true, steps: [{ expect: '^\\* OK' }] });
    await talk(imap, { secure: true }, 'down tls.handshake');
  });
  test('pop3 by its preset', async () => {
    await looksGood('pop3', ports.pop3);
    const steps = [
      { send: 'USER ann\\r\\n', expect: '^\\+OK' },
      { send: 'PASS open-sesame\\r\\n', expect: '^\\+OK' },
    ];
    await talk(ports.pop3, { starttls: 'pop3', steps });
  });
  test('another preset than its own', async () => {
    await talk(imap, { starttls: 'pop3' }, 'down protocol.invalid');
    await talk(ports.pop3, { starttls: 'imap' }, 'down protocol.invalid');
  });
});

const postfix = starttlsServers.postfix();
describe.skipIf(!postfix)('postfix', () => {
  let port = 0;
  beforeAll(async () => {
    const server = await postfix?.(newFolder());
    cleanup.push(() => server?.stop());
    port = server?.port ?? 0;
  }, 30_000);

  test('smtp by its preset', async () => {
    await looksGood('smtp', port);
    const steps = [
      { send: 'EHLO probe.test\\r\\n', expect: '^250 ' },
      { send: 'QUIT\\r\\n', expect: '^221' },
    ];
    const { facts } = await talk(port, { starttls: 'smtp', steps });
    expect(facts?.banner).toMatch(/^220 mail\.test ESMTP Postfix/);
  });
  test('smtp by steps with captures', async () => {
    const steps = [
      { expect: '^220 (?P<host>[^ ]+) ESMTP (.+)$' },
      { send: 'EHLO probe.test\\r\\n', expect: '^250-STARTTLS' },
      { send: 'STARTTLS\\r\\n', expect: '^220', starttls: true },
      { send: 'VRFY ${host}\\r\\n', expect: '^(\\d{3}) ' },
      { send: 'QUIT\\r\\n', expect: '^221' },
    ];
    expect((await talk(port, { steps })).facts?.captures).toMatchObject({ host: 'mail.test' });
  });
});

const others: readonly (readonly [keyof typeof starttlsServers, Starttls, string?])[] = [
  ['vsftpd', 'ftp'],
  ['slapd', 'ldap'],
  ['prosody', 'xmpp', 'localhost'],
  ['mariadb', 'mysql'],
];
for (const [name, preset, host] of others) {
  const start = starttlsServers[name]();
  test.skipIf(!start)(
    `${name}: ${preset} by its preset`,
    async () => {
      const server = await start?.(newFolder());
      cleanup.push(() => server?.stop());
      await looksGood(preset, server?.port ?? 0, host);
    },
    30_000,
  );
}

test('PostgreSQL, without TLS and with it', async () => {
  const folder = newFolder();
  chmodSync(folder, 0o711);
  const dataDir = join(folder, 'postgres');
  const server = await startEmbeddedPostgres({
    dataDir,
    log: () => undefined,
    signal: AbortSignal.timeout(60_000),
    durable: false,
  });
  cleanup.push(() => server.stop());
  const port = Number(new URL(server.url).port);
  await talk(port, { starttls: 'postgres' }, 'down protocol.refused');
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  const { rows } = await client.query<{ data_directory: string }>('show data_directory');
  const data = rows[0]?.data_directory ?? '';
  const { uid, gid } = statSync(data);
  for (const [name, text] of [
    ['server.crt', good.cert],
    ['server.key', good.key],
  ] as const) {
    writeFileSync(join(data, name), text);
    chmodSync(join(data, name), 0o600);
    chownSync(join(data, name), uid, gid);
  }
  await client.query('alter system set ssl = on');
  await client.query('select pg_reload_conf()');
  await client.end();
  await expect.poll(async () => (await probeOnce(port)).failure?.code ?? 'up', { timeout: 5000 }).toBe('up');
  await looksGood('postgres', port);
}, 60_000);

function probeOnce(port: number): Promise<Observation> {
  return checkOnce(checker, `tls://127.0.0.1:${port}`, {
    request: { starttls: 'postgres', tls: { ca: authority.cert } },
  });
}
