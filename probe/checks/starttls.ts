import { isIPv6 } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Starttls } from '../../shared/starttls.ts';
import type { Attempt } from './attempt.ts';
import { shownText } from './shown-text.ts';
import { cutOff, type Wire } from './tcp-wire.ts';

/** What is said before TLS, by a client that reads no more than it needs. */
interface Talk {
  /** One line without its end. */
  line(): Promise<string | Failure>;
  bytes(count: number): Promise<Buffer | Failure>;
  /** All bytes up to the first match, and with it. */
  until(pattern: RegExp): Promise<string | Failure>;
  send(data: string | Buffer): void;
}

interface Whom {
  /** The domain that the server stands for. */
  readonly name: string;
  readonly port: number;
  /** Our own end of the connection. */
  readonly localAddress: string;
}

/** Null when the server is about to begin TLS. */
type Preset = (talk: Talk, whom: Whom) => Promise<Failure | null>;

const mostLineBytes = 4096;
/** What a server of XMPP offers before TLS stands in one piece. */
const mostStanzaBytes = 16_384;
/** Of a greeting with its capabilities, and of any answer in several lines. */
const mostLines = 200;

/**
 * Asks for TLS in the words of a protocol. What comes in clear after the server agreed would be taken for its first
 * words under TLS by a careless client (CVE-2011-0411, CVE-2021-23222): it ends the check.
 */
export async function askForTls(
  preset: Starttls,
  wire: Wire,
  { name, port }: Pick<Whom, 'name' | 'port'>,
  attempt: Attempt,
): Promise<Failure | null> {
  const talk = talkOver(wire, attempt, preset);
  const localAddress = wire.socket.localAddress ?? '127.0.0.1';
  return (await presets[preset](talk, { name, port, localAddress })) ?? refuseUnread(wire);
}

/** Whether the server said more before TLS than it had to. */
export function refuseUnread(wire: Wire): Failure | null {
  const { length } = wire.unread();
  if (length === 0) return null;
  return failure(
    'protocol.invalid',
    `${length} bytes in clear came after the server agreed to TLS: somebody may have put them there`,
  );
}

const presets: Readonly<Record<Starttls, Preset>> = {
  async smtp(talk, { localAddress }) {
    const greeted = await reply(talk, 'the greeting', /^220$/);
    if ('code' in greeted) return greeted;
    // RFC 5321, section 4.1.3: a client without a name of its own gives its address.
    talk.send(`EHLO [${isIPv6(localAddress) ? `IPv6:${localAddress}` : localAddress}]\r\n`);
    const offered = await reply(talk, 'the answer to EHLO', /^250$/);
    if ('code' in offered) return offered;
    if (!offered.lines.some((line) => /^STARTTLS\b/i.test(line))) return notOffered('STARTTLS');
    talk.send('STARTTLS\r\n');
    const agreed = await reply(talk, 'the answer to STARTTLS', /^220$/);
    return 'code' in agreed ? agreed : null;
  },

  async ftp(talk) {
    // 120: ready in some minutes; the greeting comes then.
    for (let round = 0; round < 2; round += 1) {
      const greeted = await reply(talk, 'the greeting', /^[12]20$/);
      if ('code' in greeted) return greeted;
      if (greeted.status === '220') break;
    }
    talk.send('AUTH TLS\r\n');
    const agreed = await reply(talk, 'the answer to AUTH TLS', /^234$/);
    return 'code' in agreed ? agreed : null;
  },

  async imap(talk) {
    const greeting = await talk.line();
    if (typeof greeting !== 'string') return greeting;
    if (/^\* PREAUTH\b/i.test(greeting))
      return failure(
        'protocol.refused',
        'the server has signed us in already (PREAUTH): too late for STARTTLS',
      );
    if (/^\* BYE\b/i.test(greeting)) return unexpected('the greeting', greeting);
    if (!/^\* OK\b/i.test(greeting)) return foreign('the greeting', greeting);
    talk.send('a1 STARTTLS\r\n');
    for (let count = 0; count < mostLines; count += 1) {
      const line = await talk.line();
      if (typeof line !== 'string') return line;
      if (/^a1 OK\b/i.test(line)) return null;
      if (/^a1 (NO|BAD)\b/i.test(line)) return unexpected('the answer to STARTTLS', line);
      if (!line.startsWith('* ')) return foreign('the answer to STARTTLS', line);
    }
    return endless('the answer to STARTTLS');
  },

  async pop3(talk) {
    const greeting = await talk.line();
    if (typeof greeting !== 'string') return greeting;
    if (/^-ERR\b/.test(greeting)) return unexpected('the greeting', greeting);
    if (!/^\+OK\b/.test(greeting)) return foreign('the greeting', greeting);
    talk.send('STLS\r\n');
    const answer = await talk.line();
    if (typeof answer !== 'string') return answer;
    if (/^\+OK\b/.test(answer)) return null;
    return (/^-ERR\b/.test(answer) ? unexpected : foreign)('the answer to STLS', answer);
  },

  async postgres(talk) {
    // SSLRequest: its length, and a version that no protocol has.
    talk.send(Buffer.from('0000000804d2162f', 'hex'));
    const answer = await talk.bytes(1);
    if ('code' in answer) return answer;
    const said = answer.toString('latin1');
    if (said === 'S') return null;
    if (said === 'N') return failure('protocol.refused', 'the server has no TLS (N to an SSLRequest)');
    // From before 7.2, or a pooler that knows no SSLRequest: an error message.
    if (said === 'E') return failure('protocol.refused', 'the server answers an SSLRequest with an error');
    return foreign('the answer to an SSLRequest', said);
  },

  async mysql(talk) {
    const head = await talk.bytes(4);
    if ('code' in head) return head;
    const length = head.readUIntLE(0, 3);
    if (length === 0 || length > mostLineBytes || head[3] !== 0)
      return foreign('the greeting', head.toString('latin1'));
    const packet = await talk.bytes(length);
    if ('code' in packet) return packet;
    if (packet[0] === 255)
      return unexpected('the greeting', packet.subarray(3).toString('utf8').replace(/^#/, ''));
    // Version 10: a text, 4 bytes of id, 8 of salt, a filler, and two bytes of what the server can do.
    const capabilitiesAt = packet.indexOf(0, 1) + 14;
    if (packet[0] !== 10 || capabilitiesAt < 15 || capabilitiesAt + 2 > packet.length)
      return foreign('the greeting', packet.subarray(0, 40).toString('latin1'));
    if ((packet.readUInt16LE(capabilitiesAt) & mysqlSsl) === 0) return notOffered('TLS');
    const request = Buffer.alloc(36);
    request.writeUIntLE(32, 0, 3);
    request[3] = 1;
    request.writeUInt32LE(mysqlSsl | mysqlProtocol41 | mysqlSecure, 4);
    request.writeUInt32LE(16_777_216, 8);
    request[12] = mysqlUtf8mb4;
    talk.send(request);
    return null;
  },

  async ldap(talk) {
    talk.send(
      Buffer.concat([
        // Message 1, an extended request, with the name of what is asked for.
        Buffer.from('301d02010177188016', 'hex'),
        Buffer.from('1.3.6.1.4.1.1466.20037', 'latin1'),
      ]),
    );
    const head = await talk.bytes(2);
    if ('code' in head) return head;
    const size = head[1] ?? 0;
    const wide = size > 128 ? await talk.bytes(size & 127) : Buffer.alloc(0);
    if ('code' in wide) return wide;
    const length = wide.length > 4 ? -1 : wide.length > 0 ? wide.readUIntBE(0, wide.length) : size;
    if (head[0] !== 0x30 || length < 7 || length > mostLineBytes)
      return foreign('the answer to StartTLS', head.toString('latin1'));
    const message = await talk.bytes(length);
    if ('code' in message) return message;
    const result = ldapResult(message);
    if (result === null) return foreign('the answer to StartTLS', message.subarray(0, 40).toString('latin1'));
    return result === 0 ? null : failure('protocol.refused', `StartTLS was answered with result ${result}`);
  },

  async xmpp(talk, { name, port }) {
    // Servers among themselves speak on 5269 (RFC 6120, section 14.7) and in a namespace of their own.
    const space = port === 5269 ? 'jabber:server' : 'jabber:client';
    talk.send(
      `<?xml version='1.0'?><stream:stream to='${name.replaceAll('&', '&amp;').replaceAll("'", '&apos;')}' xmlns='${space}' ` +
        `xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>`,
    );
    const features = await talk.until(
      /<stream:features\s*\/>|<\/stream:features\s*>|<stream:error[\s>]|<\/stream:stream\s*>/,
    );
    if (typeof features !== 'string') return features;
    if (/<stream:error|<\/stream:stream/.test(features))
      return failure('protocol.refused', `the server ends the stream for ${name}`);
    if (!/<starttls[^>]*urn:ietf:params:xml:ns:xmpp-tls/.test(features)) return notOffered('starttls');
    talk.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    const answer = await talk.until(
      /<proceed\b[^>]*(?:\/>|>\s*<\/proceed\s*>)|<failure\b[^>]*>|<stream:error|<\/stream:stream\s*>/,
    );
    if (typeof answer !== 'string') return answer;
    return /<proceed\b/.test(answer)
      ? null
      : failure('protocol.refused', 'starttls was answered with a failure');
  },
};

const mysqlProtocol41 = 0x200;
const mysqlSsl = 0x800;
const mysqlSecure = 0x8000;
const mysqlUtf8mb4 = 45;

interface Reply {
  readonly status: string;
  /** Without the status. */
  readonly lines: readonly string[];
}

/** An answer of SMTP or FTP: `250-one`, `250-two`, `250 last`; FTP's lines between may be of any form (RFC 959). */
async function reply(talk: Talk, what: string, wanted: RegExp): Promise<Reply | Failure> {
  const lines: string[] = [];
  let status: string | null = null;
  for (let count = 0; count < mostLines; count += 1) {
    const line = await talk.line();
    if (typeof line !== 'string') return line;
    const [, code, mark, text = ''] = /^(\d{3})([ -]?)(.*)$/s.exec(line) ?? [];
    if (status === null && code === undefined) return foreign(what, line);
    status ??= code ?? '';
    lines.push(code === status ? text : line);
    if (code !== status || mark === '-') continue;
    return wanted.test(status) ? { status, lines } : unexpected(what, line);
  }
  return endless(what);
}

/** The resultCode of an extended response (RFC 4511, sections 4.1.9 and 4.12), null where it is none. */
function ldapResult(message: Buffer): number | null {
  const idLength = message[1] ?? 0;
  let at = 2 + idLength;
  if (message[0] !== 2 || message[at] !== 0x78) return null;
  const size = message[at + 1] ?? 0;
  at += 2 + (size > 128 ? size & 127 : 0);
  const isEnumerated = message[at] === 10 && message[at + 1] === 1;
  return isEnumerated ? (message[at + 2] ?? null) : null;
}

const shown = (text: string) => shownText(text, 100);
const unexpected = (what: string, line: string) => failure('protocol.refused', `${what} is: ${shown(line)}`);
const foreign = (what: string, line: string) =>
  failure('protocol.invalid', `${what} is of another protocol: ${shown(line)}`);
const notOffered = (what: string) => failure('protocol.refused', `the server does not offer ${what}`);
const endless = (what: string) => failure('protocol.invalid', `${what} does not end`);

function talkOver(wire: Wire, attempt: Attempt, preset: Starttls): Talk {
  const more = async (): Promise<Failure | null> => {
    const heard = await wire.more();
    if (heard.kind === 'bytes' || heard.kind === 'quiet') return null;
    return cutOff(heard, wire, attempt, `the server's consent to TLS (${preset})`);
  };
  return {
    async line() {
      for (;;) {
        const [first] = wire.lines();
        if (first) {
          wire.take(first.end);
          return first.text;
        }
        const unread = wire.unread();
        if (unread.length > mostLineBytes)
          return foreign('a line without an end', unread.subarray(0, 40).toString('latin1'));
        const ended = await more();
        if (ended) return ended;
      }
    },
    async bytes(count) {
      for (;;) {
        const unread = wire.unread();
        if (unread.length >= count) {
          const taken = Buffer.from(unread.subarray(0, count));
          wire.take(count);
          return taken;
        }
        const ended = await more();
        if (ended) return ended;
      }
    },
    async until(pattern) {
      for (;;) {
        const text = wire.unread().toString('latin1');
        const match = pattern.exec(text);
        if (match) {
          const taken = match.index + match[0].length;
          wire.take(taken);
          return text.slice(0, taken);
        }
        if (text.length > mostStanzaBytes) return endless('what the server says');
        const ended = await more();
        if (ended) return ended;
      }
    },
    send: (data) => wire.send(Buffer.from(data as string)),
  };
}
