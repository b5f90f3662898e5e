import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import type { Observation } from '../../../shared/result.ts';
import { type Starttls, starttlsNames } from '../../../shared/starttls.ts';
import { type Issued, issue } from './certificates.ts';
import { checkOnce, startChecker } from './scene.ts';
import { becomeTls, onLines, startTcpServer, type TcpServer } from './tcp-server.ts';

let checker: Checker;
let authority: Issued;
let good: Issued;
const servers: TcpServer[] = [];

beforeAll(async () => {
  checker = await startChecker();
  authority = await issue({ name: 'Test authority', ca: true });
  good = await issue({ dns: ['localhost'], ips: ['127.0.0.1'] }, authority);
});
afterAll(async () => {
  await checker.close();
  await Promise.all(servers.map((server) => server.close()));
});

const summary = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();

type Mood = 'agrees' | 'refuses' | 'lacks it' | 'injects' | 'is another' | 'ends';

/** One side of each exchange, as far as a server goes: what it says in which mood, then TLS. */
interface Exchange {
  /** What it says first; for those that speak first. */
  readonly greeting?: string | Buffer;
  /** What the client asks in the end, as seen in what it sent. */
  readonly asks: RegExp | Buffer;
  /** Answers to what comes before that. */
  readonly before?: (sent: string, mood: Mood) => string | null;
  readonly agrees: string | Buffer;
  readonly refuses: string | Buffer;
  /** What it would say under TLS, put in before it. */
  readonly injected: string;
}

const ldap = (code: number) =>
  Buffer.from(`300c0201017807 0a01${code.toString(16).padStart(2, '0')}0400 0400`.replaceAll(' ', ''), 'hex');
const mysqlGreeting = (capabilities: number) => {
  const body = Buffer.concat([
    Buffer.from([10]),
    Buffer.from('8.0.36\0'),
    Buffer.from([1, 0, 0, 0]),
    Buffer.from('saltsalt'),
    Buffer.from([0, capabilities & 255, capabilities >> 8]),
    Buffer.alloc(20),
  ]);
  return Buffer.concat([Buffer.from([body.length, 0, 0, 0]), body]);
};
const features = (starttls: boolean) =>
  "<?xml version='1.0'?><stream:stream from='localhost' xmlns='jabber:client' " +
  "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><stream:features>" +
  (starttls ? "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>" : '<mechanisms/>') +
  '</stream:features>';

const exchanges: Readonly<Record<Starttls, Exchange>> = {
  smtp: {
    greeting: '220-mail.test ESMTP\r\n220 at your service\r\n',
    before: (sent, mood) =>
      /^EHLO \[127\.0\.0\.1\]\r\n$/.test(sent)
        ? `250-mail.test\r\n250-SIZE 1000\r\n${mood === 'lacks it' ? '' : '250-STARTTLS\r\n'}250 HELP\r\n`
        : null,
    asks: /\r\nSTARTTLS\r\n$/,
    agrees: '220 go ahead\r\n',
    refuses: '454 TLS not available\r\n',
    injected: '250 ok\r\n',
  },
  imap: {
    greeting: '* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n',
    asks: /^a1 STARTTLS\r\n$/,
    agrees: '* untagged\r\na1 OK begin\r\n',
    refuses: 'a1 BAD no\r\n',
    injected: '* PREAUTH welcome\r\n',
  },
  pop3: {
    greeting: '+OK ready\r\n',
    asks: /^STLS\r\n$/,
    agrees: '+OK begin\r\n',
    refuses: '-ERR no\r\n',
    injected: '+OK signed in\r\n',
  },
  ftp: {
    greeting: '220-welcome\r\n  to this\r\n220 server\r\n',
    asks: /^AUTH TLS\r\n$/,
    agrees: '234 go\r\n',
    refuses: '504 no\r\n',
    injected: '230 signed in\r\n',
  },
  postgres: {
    asks: Buffer.from('0000000804d2162f', 'hex'),
    agrees: 'S',
    refuses: 'N',
    injected: 'E',
  },
  mysql: {
    greeting: mysqlGreeting(0xffff),
    asks: /^ .{35}/s,
    agrees: '',
    refuses: '',
    injected: 'x',
  },
  ldap: {
    asks: /1\.3\.6\.1\.4\.1\.1466\.20037$/,
    agrees: ldap(0),
    refuses: ldap(52),
    injected: '0',
  },
  xmpp: {
    before: (sent, mood) =>
      /^<\?xml version='1.0'\?><stream:stream to='127.0.0.1'.*>$/.test(sent)
        ? features(mood !== 'lacks it')
        : null,
    asks: /<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'\/>$/,
    agrees: "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    refuses: "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>",
    injected: '<message/>',
  },
};

function stub(preset: Starttls, mood: Mood): (socket: Socket) => void {
  const exchange = exchanges[preset];
  return (socket) => {
    if (mood === 'ends') return void socket.end();
    const injected = mood === 'injects' ? exchange.injected : '';
    if (mood === 'is another') return void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    const { greeting } = exchange;
    if (preset === 'mysql' && mood === 'injects')
      socket.write(Buffer.concat([mysqlGreeting(0xffff), Buffer.from(injected)]));
    else if (preset === 'mysql') socket.write(mysqlGreeting(mood === 'agrees' ? 0xffff : 0xf7ff));
    else if (greeting) socket.write(greeting);
    let sent = '';
    socket.on('data', (chunk) => {
      sent += chunk.toString('latin1');
      const asked =
        exchange.asks instanceof RegExp
          ? exchange.asks.test(sent)
          : sent === exchange.asks.toString('latin1');
      if (!asked) {
        const answer = exchange.before?.(sent, mood);
        if (answer) socket.write(answer);
        return;
      }
      if (mood === 'refuses' || mood === 'lacks it') return void socket.write(exchange.refuses);
      socket.write(Buffer.concat([Buffer.from(exchange.agrees), Buffer.from(injected)]));
      // A client of MySQL waits for no answer: its first words of TLS may be here already.
      const early = preset === 'mysql' ? Buffer.from(sent.slice(36), 'latin1') : Buffer.alloc(0);
      socket.pause();
      if (early.length > 0) socket.unshift(early);
      becomeTls(socket, { cert: good.cert, key: good.key }, (secured) =>
        onLines(secured, (line) => void secured.write(`safe ${line}\r\n`)),
      );
    });
  };
}

const moods: readonly (readonly [Mood, string])[] = [
  ['agrees', 'up'],
  ['refuses', 'down protocol.refused'],
  ['lacks it', 'down protocol.refused'],
  ['injects', 'down protocol.invalid'],
  ['is another', 'down protocol.invalid'],
  ['ends', 'down request.reset'],
];

describe.each(starttlsNames)('%s', (preset) => {
  test.each(moods)('a server that %s is %s', async (mood, expected) => {
    const server = await startTcpServer(stub(preset, mood));
    servers.push(server);
    const trusted = { starttls: preset, tls: { ca: authority.cert } };
    // To xmpp HTTP is so much text that no stanza is in.
    const wanted = preset === 'xmpp' && mood === 'is another' ? 'down body.timeout' : expected;
    const looked = await checkOnce(checker, `tls://127.0.0.1:${server.port}`, {
      request: trusted,
      timeoutMs: 700,
    });
    expect(summary(looked), JSON.stringify(looked)).toBe(wanted);
    expect(looked.facts?.starttls).toBe(preset);
    if (expected === 'up') expect(looked.facts?.names).toEqual(['localhost', '127.0.0.1']);
    else expect(looked.tls).toBeNull();

    const steps = [{ send: 'word\\r\\n', expect: '^safe word$' }];
    const talked = await checkOnce(checker, `tcp://127.0.0.1:${server.port}`, {
      request: { ...trusted, steps },
      timeoutMs: 700,
    });
    expect(summary(talked), JSON.stringify(talked)).toBe(wanted);
    // Nothing that is meant for TLS goes out without it.
    expect(server.heard()).not.toContain('word');
  });

  test('a server that says nothing, or never comes to an end', async () => {
    const silent = await startTcpServer(() => undefined);
    const endless = await startTcpServer((socket) => {
      const more = () => {
        while (!socket.destroyed && socket.write('220-'.repeat(4000)));
      };
      socket.on('drain', more);
      more();
    });
    servers.push(silent, endless);
    const wish = { request: { starttls: preset }, timeoutMs: 400 };
    expect(summary(await checkOnce(checker, `tls://127.0.0.1:${silent.port}`, wish))).toBe(
      'down wait.timeout',
    );
    const seen = await checkOnce(checker, `tls://127.0.0.1:${endless.port}`, wish);
    expect(summary(seen)).toBe('down protocol.invalid');
    expect(seen.bytes).toBeLessThan(400_000);
  });
});
