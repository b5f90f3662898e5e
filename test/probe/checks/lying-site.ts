import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { type Answer, goesOn, says, whole } from './servers.ts';

const text = 'the quick brown fox, 42 times';
const bomb = Buffer.alloc(8_000_000, 'a');
const encoded = (coding: string, body: Buffer): Answer => says(whole(body, [`Content-Encoding: ${coding}`]));

const lead = (location: string, status = '302 Found'): Answer =>
  says(whole('', [`Location: ${location}`], status));

/** What the sites of the case table answer, by path; a query string changes nothing. */
export const lyingSite: Readonly<Record<string, Answer>> = {
  '/ok': says(
    whole(text, ['Content-Type: text/plain', 'X-Shop: open', 'Set-Cookie: a=1', 'Set-Cookie: b=2']),
  ),
  '/http10': says('HTTP/1.0 200 OK\r\n\r\nhi'),
  '/chunked': says(
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n',
  ),
  '/trailers': says('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n'),
  '/until-close': says('HTTP/1.1 200 OK\r\n\r\nuntil the end'),
  '/204': says('HTTP/1.1 204 No Content\r\n\r\n'),
  '/304': says('HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n'),
  '/head': says('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'),
  '/early-hints': says(
    Buffer.concat([Buffer.from('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'), whole(text)]),
  ),
  '/500': says(whole('oops', [], '500 Internal Server Error')),
  '/404': says(whole('none', [], '404 Not Found')),
  '/json': says(
    whole('{"status":"ok","depth":{"queue":[3,{"max":7.5}]},"up":true,"none":null,"a b":"x"}', [
      'Content-Type: application/json',
    ]),
  ),
  '/latin1': says(
    whole(Buffer.from('caf\u00e9', 'latin1'), ['Content-Type: text/plain; charset=iso-8859-1']),
  ),
  '/slow': (socket) => void setTimeout(() => socket.end(whole(text)), 120),

  // Lengths and chunks that do not hold.
  '/short': says('HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789'),
  '/short-open': (socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789'),
  '/long': says('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n0123456789'),
  '/two-lengths': says('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n012345'),
  '/negative-length': says('HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n01234'),
  '/length-and-chunks': says(
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ),
  '/bad-chunk': says('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n'),
  '/cut-chunk': says('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello'),
  '/open-chunk': (socket) =>
    void socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'),

  // What is no answer at all.
  '/http09': says('hello, I am older than headers\r\n'),
  '/ssh': says('SSH-2.0-OpenSSH_9.6\r\n'),
  '/nul-header': says('HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n'),
  '/no-colon': says('HTTP/1.1 200 OK\r\nwhat is this\r\n\r\n'),
  '/zero-status': says('HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n'),
  '/deep-json': says(whole(`{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`)),
  '/deeper-json': says(whole(`{"a":${'['.repeat(60_000)}${']'.repeat(60_000)}}`)),
  '/short-status': says('HTTP/1.1 20\r\n\r\n'),
  '/status-999': says(whole('', [], '999 Beyond')),
  '/http3': says('HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n'),
  '/switching': says('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
  '/long-reason': says(`HTTP/1.1 200 ${'very '.repeat(2000)}fine\r\nContent-Length: 0\r\n\r\n`),

  // What never ends.
  '/endless-reason': goesOn('HTTP/1.1 200 ', 'x'.repeat(16_384)),
  '/endless-headers': goesOn('HTTP/1.1 200 OK\r\n', 'X-More: and more\r\n'.repeat(100)),
  '/huge-header': says(`HTTP/1.1 200 OK\r\nX-Big: ${'b'.repeat(100_000)}\r\n\r\n`),
  '/endless-trailers': goesOn(
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n',
    'X-More: and more\r\n'.repeat(100),
  ),
  '/endless-1xx': goesOn('', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'),
  '/endless-extension': goesOn('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;', 'x'.repeat(16_384)),
  '/endless-body': goesOn('HTTP/1.1 200 OK\r\n\r\n', 'x'.repeat(16_384)),
  '/endless-chunks': goesOn(
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    '1\r\nx\r\n'.repeat(1000),
  ),
  '/dripping-head': goesOn('HTTP/1.1 200 OK\r\nX-A: ', 'a', 20),
  '/dripping-body': goesOn('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n', 'a', 20),
  '/dripping-1xx': goesOn('', 'HTTP/1.1 102 Processing\r\n\r\n', 60),
  '/silence': () => undefined,

  // Endings.
  '/fin': (socket) => void socket.end(),
  '/rst': (socket) => void socket.resetAndDestroy(),
  '/half-status': says('HTTP/1.1 2'),
  '/rst-in-body': (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello');
    setTimeout(() => socket.resetAndDestroy(), 30);
  },
  '/fin-in-head': says('HTTP/1.1 200 OK\r\nX-A: b\r\n'),

  // Codings, honest and not.
  '/gzip': encoded('gzip', gzipSync(text)),
  '/br': encoded('br', brotliCompressSync(text)),
  '/deflate': encoded('deflate', deflateSync(text)),
  '/deflate-raw': encoded('deflate', deflateRawSync(text)),
  '/zstd': encoded('zstd', zstdCompressSync(text)),
  '/gzip-br': encoded('gzip, br', brotliCompressSync(gzipSync(text))),
  '/gzip-empty': encoded('gzip', Buffer.alloc(0)),
  '/gzip-broken': encoded('gzip', Buffer.from('not gzip at all')),
  '/gzip-cut': encoded('gzip', gzipSync(Buffer.from(text.repeat(100))).subarray(0, 30)),
  '/compress': encoded('compress', Buffer.from('x')),
  '/four-codings': encoded('gzip, gzip, gzip, gzip', Buffer.from('x')),
  '/bomb-gzip': encoded('gzip', gzipSync(bomb)),
  '/bomb-br': encoded('br', brotliCompressSync(bomb)),
  '/bomb-deflate': encoded('deflate', deflateSync(bomb)),
  '/bomb-zstd': encoded('zstd', zstdCompressSync(bomb)),
  '/bomb-twice': encoded('gzip, gzip', gzipSync(gzipSync(bomb))),

  // Redirects.
  '/to-ok': lead('/ok?token=secret'),
  '/a/to-relative': lead('../ok'),
  '/to-301': lead('/ok', '301 Moved Permanently'),
  '/to-303': lead('/ok', '303 See Other'),
  '/to-307': lead('/ok', '307 Temporary Redirect'),
  '/to-308': lead('/ok', '308 Permanent Redirect'),
  '/to-itself': lead('/to-itself'),
  '/to-private': lead('http://10.0.0.1/'),
  '/to-metadata': lead('http://169.254.169.254/latest/meta-data/'),
  '/to-octal': lead('http://0251.0376.0251.0376/'),
  '/to-mapped': lead('http://[::ffff:10.0.0.1]/'),
  '/to-hub': lead('https://hub.parallax.test:8443/api/v1/tokens'),
  '/to-file': lead('file:///etc/passwd'),
  '/to-nonsense': lead('http://[not/a/host'),
  '/to-nowhere': says(whole('', [], '302 Found')),
  '/to-itself-slowly': (socket) =>
    void setTimeout(() => socket.end(whole('', ['Location: /to-itself-slowly'], '302 Found')), 60),
};
