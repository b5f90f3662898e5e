import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { deflateRawSync } from 'node:zlib';
import type { Answer, Asked } from './servers.ts';

/** The key's answer, as RFC 6455, section 4.2.2, has it. */
export function acceptOf({ headers }: Asked): string {
  const text = `${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  return createHash('sha1').update(text).digest('base64');
}

const head = (asked: Asked, more: readonly string[] = []) =>
  [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${acceptOf(asked)}`,
    ...more,
    '\r\n',
  ].join('\r\n');

export interface FrameParts {
  readonly fin?: boolean;
  /** Of the three reserved bits: 4 is RSV1. */
  readonly rsv?: number;
  readonly opcode: number;
  readonly data?: string | Buffer;
  readonly masked?: boolean;
}

/** A server's frame, right or wrong. */
export function frame({ fin = true, rsv = 0, opcode, data = '', masked = false }: FrameParts): Buffer {
  const bytes = Buffer.from(data);
  const width = bytes.length < 126 ? 0 : bytes.length < 65_536 ? 2 : 8;
  const first = Buffer.alloc(2 + width);
  first[0] = (fin ? 128 : 0) | (rsv << 4) | opcode;
  first[1] = (masked ? 128 : 0) | (width === 0 ? bytes.length : width === 2 ? 126 : 127);
  if (width === 2) first.writeUInt16BE(bytes.length, 2);
  if (width === 8) first.writeBigUInt64BE(BigInt(bytes.length), 2);
  return Buffer.concat([first, masked ? Buffer.alloc(4) : Buffer.alloc(0), bytes]);
}

const text = (data: string) => frame({ opcode: 1, data });
const close = (code: number, reason = '') => {
  const data = Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);
  return frame({ opcode: 8, data });
};

/** Opens, and then sends these bytes. */
const opens =
  (...parts: readonly (Buffer | string)[]): Answer =>
  (socket, asked) =>
    void socket.write(Buffer.concat([Buffer.from(head(asked)), ...parts.map((part) => Buffer.from(part))]));
const withFields =
  (...fields: readonly string[]): Answer =>
  (socket, asked) =>
    void socket.write(head(asked, fields));
const answers =
  (whole: string): Answer =>
  (socket) =>
    void socket.end(whole.replaceAll('\n', '\r\n'));
/** Opens, and then sends one part again and again as fast as it is taken. */
const floods =
  (part: Buffer, first: Buffer = Buffer.alloc(0)): Answer =>
  (socket, asked) => {
    socket.write(head(asked));
    socket.write(first);
    const many = Buffer.concat(Array.from({ length: 200 }, () => part));
    const more = () => {
      while (!socket.destroyed && socket.write(many));
    };
    socket.on('drain', more);
    more();
  };
const drips = (socket: Socket, bytes: Buffer, everyMs: number) => {
  let at = 0;
  const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), everyMs);
  socket.once('close', () => clearInterval(timer));
};

const deflated = 'Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover';
const squeezed = (data: string | Buffer) => deflateRawSync(data).subarray(0);
const withDeflate =
  (data: Buffer): Answer =>
  (socket, asked) =>
    void socket.write(
      Buffer.concat([Buffer.from(head(asked, [deflated])), frame({ rsv: 4, opcode: 1, data })]),
    );

/** By path: what is answered, and what a check that expects a message 'ok' within its steps says to it. */
export const lyingWebSocket: Readonly<Record<string, readonly [answer: Answer, summary: string]>> = {
  '/ok': [opens(text('ok')), 'up'],
  '/frames-of-one-byte': [
    opens(
      frame({ fin: false, opcode: 1, data: 'o' }),
      frame({ opcode: 9, data: 'still there?' }),
      frame({ fin: false, opcode: 0 }),
      frame({ opcode: 0, data: 'k' }),
    ),
    'up',
  ],
  '/split-character': [
    opens(
      frame({ fin: false, opcode: 1, data: Buffer.from('ok \u2603').subarray(0, 4) }),
      frame({ opcode: 0, data: Buffer.from('ok \u2603').subarray(4) }),
    ),
    'up',
  ],
  '/dripping-but-in-time': [
    (socket, asked) => {
      socket.write(head(asked));
      drips(socket, text('ok'), 5);
    },
    'up',
  ],
  '/long-message': [opens(text(`${'x'.repeat(65_533)} ok`)), 'up'],
  '/pong-unasked': [opens(frame({ opcode: 10, data: 'hm' }), text('ok')), 'up'],
  '/early-hints': [
    (socket, asked) => {
      socket.write(`HTTP/1.1 103 Early Hints\r\n\r\n${head(asked)}`);
      socket.write(text('ok'));
    },
    'up',
  ],
  '/other-case': [
    (socket, asked) => {
      socket.write(head(asked).replace('Upgrade: websocket', 'UPGRADE: WebSocket'));
      socket.write(text('ok'));
    },
    'up',
  ],

  // Handshakes that are none.
  '/200': [answers('HTTP/1.1 200 OK\nContent-Length: 2\n\nhi'), 'down expect.status'],
  '/302': [answers('HTTP/1.1 302 Found\nLocation: /ok\nContent-Length: 0\n\n'), 'down expect.status'],
  '/401': [answers('HTTP/1.1 401 Unauthorized\nContent-Length: 0\n\n'), 'down expect.status'],
  '/426': [
    answers('HTTP/1.1 426 Upgrade Required\nUpgrade: websocket\nContent-Length: 0\n\n'),
    'down expect.status',
  ],
  '/no-accept': [
    answers('HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n\n'),
    'down protocol.invalid',
  ],
  '/wrong-accept': [
    (socket, asked) => void socket.write(head(asked).replace(/Accept: .*\r/, `Accept: ${'A'.repeat(27)}=\r`)),
    'down protocol.invalid',
  ],
  '/two-accepts': [
    (socket, asked) => void socket.write(head(asked, [`Sec-WebSocket-Accept: ${acceptOf(asked)}`])),
    'down protocol.invalid',
  ],
  '/no-upgrade-header': [
    answers('HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\n\n'),
    'down protocol.invalid',
  ],
  '/no-connection-header': [
    answers('HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n\n'),
    'down protocol.invalid',
  ],
  '/other-protocol': [
    (socket, asked) => void socket.write(head(asked).replace('Upgrade: websocket', 'Upgrade: h2c')),
    'down protocol.invalid',
  ],
  '/subprotocol-unasked': [withFields('Sec-WebSocket-Protocol: chat'), 'down protocol.invalid'],
  '/extension-unasked': [
    withFields('Sec-WebSocket-Extensions: x-webkit-deflate-frame'),
    'down protocol.invalid',
  ],
  '/unasked-deflate': [withFields(deflated), 'down protocol.invalid'],
  '/garbage': [answers('SSH-2.0-OpenSSH_9.6\n'), 'down http.protocol'],
  '/silent': [() => undefined, 'down wait.timeout'],
  '/closes': [(socket) => void socket.end(), 'down request.reset'],
  '/resets': [(socket) => void socket.resetAndDestroy(), 'down request.reset'],
  '/half-a-head': [(socket) => void socket.write('HTTP/1.1 101 Switching Pro'), 'down wait.timeout'],
  '/endless-head': [
    (socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\n');
      const more = () => {
        while (!socket.destroyed && socket.write('X-More: and more\r\n'.repeat(500)));
      };
      socket.on('drain', more);
      more();
    },
    'down http.protocol',
  ],
  '/informing-for-ever': [
    (socket) => void socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)),
    'down http.protocol',
  ],

  // Frames that are none.
  '/masked': [opens(frame({ opcode: 1, data: 'ok', masked: true })), 'down protocol.invalid'],
  '/reserved-bit': [opens(frame({ rsv: 4, opcode: 1, data: 'ok' })), 'down protocol.invalid'],
  '/reserved-bits': [opens(frame({ rsv: 3, opcode: 1, data: 'ok' })), 'down protocol.invalid'],
  '/unknown-kind': [opens(frame({ opcode: 3, data: 'ok' })), 'down protocol.invalid'],
  '/unknown-control': [opens(frame({ opcode: 11, data: 'ok' })), 'down protocol.invalid'],
  '/ping-in-fragments': [opens(frame({ fin: false, opcode: 9 })), 'down protocol.invalid'],
  '/long-ping': [opens(frame({ opcode: 9, data: 'x'.repeat(126) })), 'down protocol.invalid'],
  '/continues-nothing': [opens(frame({ opcode: 0, data: 'ok' })), 'down protocol.invalid'],
  '/begins-within': [
    opens(frame({ fin: false, opcode: 1, data: 'o' }), frame({ opcode: 1, data: 'ok' })),
    'down protocol.invalid',
  ],
  '/not-utf8': [opens(frame({ opcode: 1, data: Buffer.from([0xff, 0xfe]) })), 'down protocol.invalid'],
  '/long-way-of-short': [opens(Buffer.from([129, 126, 0, 2]), 'ok'), 'down protocol.invalid'],
  '/longer-way-of-short': [
    opens(Buffer.from([129, 127, 0, 0, 0, 0, 0, 0, 0, 2]), 'ok'),
    'down protocol.invalid',
  ],
  '/highest-bit': [
    opens(Buffer.from([129, 255 & 127, 128, 0, 0, 0, 0, 0, 0, 2]), 'ok'),
    'down protocol.invalid',
  ],
  '/http-after': [opens('HTTP/1.1 200 OK\r\n\r\n'), 'down protocol.invalid'],
  '/half-a-close-code': [opens(frame({ opcode: 8, data: 'x' })), 'down protocol.invalid'],
  '/close-code-1005': [opens(close(1005)), 'down protocol.invalid'],
  '/close-code-999': [opens(close(999)), 'down protocol.invalid'],
  '/close-code-2000': [opens(close(2000)), 'down protocol.invalid'],
  '/close-reason-not-utf8': [
    opens(frame({ opcode: 8, data: Buffer.from([3, 232, 255]) })),
    'down protocol.invalid',
  ],

  // What closes, stalls or has no end.
  '/close': [opens(close(1011, 'boom')), 'down expect.response'],
  '/close-without-code': [opens(frame({ opcode: 8 })), 'down expect.response'],
  '/ok-after-close': [opens(close(1000), text('ok')), 'down expect.response'],
  '/other-messages': [opens(text('no'), text('not yet')), 'down expect.response'],
  '/binary-alone': [opens(frame({ opcode: 2, data: 'ok' })), 'down expect.response'],
  // Hundreds of milliseconds each, for a pattern that runs wild.
  '/wild': [opens(...Array.from({ length: 60 }, () => text('n'.repeat(36)))), 'down expect.response'],
  '/mute': [opens(), 'down body.timeout'],
  '/pings-alone': [
    (socket, asked) => {
      socket.write(head(asked));
      const timer = setInterval(() => socket.write(frame({ opcode: 9 })), 20);
      socket.once('close', () => clearInterval(timer));
    },
    'down body.timeout',
  ],
  '/half-a-frame': [opens(text('ok').subarray(0, 3)), 'down body.timeout'],
  '/never-whole': [opens(frame({ fin: false, opcode: 1, data: 'ok' })), 'down body.timeout'],
  '/dripping': [
    (socket, asked) => {
      socket.write(head(asked));
      drips(socket, text('x'.repeat(120)), 20);
    },
    'down body.timeout',
  ],
  '/ends': [(socket, asked) => void socket.end(head(asked)), 'down body.reset'],
  '/ends-in-a-frame': [
    (socket, asked) =>
      void socket.end(Buffer.concat([Buffer.from(head(asked)), text('okay').subarray(0, 4)])),
    'down body.reset',
  ],
  '/resets-after': [
    (socket, asked) => socket.write(head(asked), () => void setTimeout(() => socket.resetAndDestroy(), 20)),
    'down body.reset',
  ],
  '/too-long': [opens(text('x'.repeat(65_537))), 'down body.too_large'],
  '/says-it-is-long': [opens(Buffer.from([129, 127, 0, 255, 0, 0, 0, 0, 0, 0])), 'down body.too_large'],
  '/too-long-in-parts': [
    opens(
      ...Array.from({ length: 70 }, (_, at) =>
        frame({ fin: false, opcode: at === 0 ? 1 : 0, data: 'x'.repeat(1000) }),
      ),
    ),
    'down body.too_large',
  ],
  '/flood-of-pings': [floods(frame({ opcode: 9, data: 'x'.repeat(100) })), 'down protocol.invalid'],
  '/flood-of-pongs': [floods(frame({ opcode: 10 })), 'down protocol.invalid'],
  '/flood-of-nothing': [
    (socket, asked) =>
      floods(frame({ fin: false, opcode: 0 }), frame({ fin: false, opcode: 1 }))(socket, asked),
    'down protocol.invalid',
  ],
  '/flood-of-messages': [floods(text('no')), 'down protocol.invalid'],
  '/flood-of-long-messages': [floods(text('n'.repeat(60_000))), 'down body.too_large'],

  // Where compression was asked for.
  '/deflate/ok': [withDeflate(squeezed('ok')), 'up'],
  '/deflate/not-compressed': [
    (socket, asked) => void socket.write(Buffer.concat([Buffer.from(head(asked, [deflated])), text('ok')])),
    'up',
  ],
  '/deflate/declined': [opens(text('ok')), 'up'],
  '/deflate/window': [
    (socket, asked) =>
      void socket.write(
        Buffer.concat([Buffer.from(head(asked, [`${deflated}; server_max_window_bits=9`])), text('ok')]),
      ),
    'up',
  ],
  '/deflate/client-window': [withFields(`${deflated}; client_max_window_bits=9`), 'down protocol.invalid'],
  '/deflate/with-context': [
    withFields('Sec-WebSocket-Extensions: permessage-deflate'),
    'down protocol.invalid',
  ],
  '/deflate/twice': [withFields(deflated, deflated), 'down protocol.invalid'],
  '/deflate/garbage': [withDeflate(Buffer.from('garbage')), 'down protocol.invalid'],
  '/deflate/bomb': [withDeflate(squeezed(Buffer.alloc(8_000_000, 'a'))), 'down body.too_large'],
  '/deflate/not-utf8': [withDeflate(squeezed(Buffer.from([0xff]))), 'down protocol.invalid'],
};

/** What the failure says beside its code, so that each of them is for its own reason. */
export const reasonsOfLies: Readonly<Record<string, RegExp>> = {
  '/no-accept': /no Sec-WebSocket-Accept/,
  '/wrong-accept': /is not the answer to the key/,
  '/two-accepts': /is not the answer to the key/,
  '/no-upgrade-header': /without the headers/,
  '/no-connection-header': /without the headers/,
  '/other-protocol': /another protocol than websocket/,
  '/subprotocol-unasked': /subprotocol that was not offered/,
  '/extension-unasked': /extension/,
  '/unasked-deflate': /extension/,
  '/endless-head': /KiB of headers|does not end/,
  '/informing-for-ever': /informational/,
  '/masked': /masked/,
  '/reserved-bit': /reserved bits/,
  '/reserved-bits': /reserved bits/,
  '/unknown-kind': /unknown kind 3/,
  '/unknown-control': /unknown kind 11/,
  '/ping-in-fragments': /control frame in fragments/,
  '/long-ping': /125 bytes/,
  '/continues-nothing': /continuation of no message/,
  '/begins-within': /within a fragmented/,
  '/not-utf8': /not UTF-8/,
  '/long-way-of-short': /a length in a form/,
  '/longer-way-of-short': /a length in a form/,
  '/highest-bit': /a length in a form/,
  '/half-a-close-code': /half a code/,
  '/close-code-1005': /1005/,
  '/close-code-999': /999/,
  '/close-code-2000': /2000/,
  '/close-reason-not-utf8': /reason is not UTF-8/,
  '/close': /closed \(1011\)/,
  '/close-without-code': /closed \(1005\)/,
  '/other-messages': /none of 2 messages/,
  '/binary-alone': /none of 1 messages/,
  '/mute': /message of step 1 did not come/,
  '/ends': /closed without a close frame/,
  '/resets-after': /was reset/,
  '/flood-of-pings': /100 control frames/,
  '/flood-of-pongs': /100 control frames/,
  '/flood-of-nothing': /10000 frames/,
  '/flood-of-messages': /10000 frames/,
  '/deflate/garbage': /permessage-deflate/,
  '/deflate/bomb': /inflates/,
  '/deflate/not-utf8': /UTF-8/,
};
