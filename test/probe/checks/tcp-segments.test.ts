import type { Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { checkOnce, startChecker } from './scene.ts';
import { startTcpServer, type TcpServer } from './tcp-server.ts';

let checker: Checker;
let server: TcpServer;
let behave: (socket: Socket) => void = () => undefined;
beforeAll(async () => {
  checker = await startChecker();
  server = await startTcpServer((socket) => behave(socket));
});
afterAll(async () => {
  await checker.close();
  await server.close();
});

const line = fc.stringMatching(/^[a-z ]{0,20}$/);
const ending = fc.constantFrom('\r\n', '\n');

/** Where bytes are cut into segments, each of which is sent by itself. */
function send(socket: Socket, bytes: Buffer, cuts: readonly number[]): void {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const parts = [0, ...places].map((from, at) => bytes.subarray(from, places[at] ?? bytes.length));
  const next = () => {
    const part = parts.shift();
    if (part === undefined || socket.destroyed) return;
    socket.write(part, () => setImmediate(next));
  };
  next();
}

test('however the bytes are cut, the same lines are read, each once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(line, ending), { maxLength: 8 }),
      fc.array(fc.nat(400), { maxLength: 12 }),
      fc.boolean(),
      async (lines, cuts, atOnce) => {
        const before = lines.map(([text, end]) => `${text}${end}`).join('');
        const said = Buffer.from(`${before}first K7 \u00e9\r\n${before}second K8\n\x00\x01\xffEND`);
        behave = (socket) => {
          socket.setNoDelay(true);
          send(socket, said, atOnce ? [] : cuts);
        };
        const steps = [
          { expect: '^first (K[0-9]) é$' },
          { expect: '^second (?P<second>.*)$' },
          { expectHex: '01c3bf454e44' },
        ];
        const seen = await checkOnce(checker, `tcp://127.0.0.1:${server.port}`, { request: { steps } });
        expect(seen.failure, JSON.stringify([lines, cuts])).toBeNull();
        expect(seen.facts?.captures).toEqual({ 'step 1.1': 'K7', second: 'K8' });
        expect(seen.bytes).toBe(said.length);
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);

test('however an answer to STARTTLS is cut, nothing but the answer is read of it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(200), { maxLength: 8 }), async (cuts) => {
      behave = (socket) => {
        socket.setNoDelay(true);
        send(socket, Buffer.from('* OK hello\r\n* STATUS\r\na1 BAD no TLS here\r\n'), cuts);
      };
      const request = { starttls: 'imap' };
      const seen = await checkOnce(checker, `tls://127.0.0.1:${server.port}`, { request });
      expect(seen.failure?.code).toBe('protocol.refused');
      expect(seen.failure?.message).toContain('a1 BAD no TLS here');
    }),
    { numRuns: 40 },
  );
}, 60_000);

test('any bytes from a stranger end in a code, within the deadline', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 600 }),
      fc.constantFrom('smtp', 'imap', 'pop3', 'ftp', 'postgres', 'mysql', 'ldap', 'xmpp'),
      fc.boolean(),
      async (bytes, starttls, ends) => {
        behave = (socket) => void (ends ? socket.end(bytes) : socket.write(bytes));
        const url = `127.0.0.1:${server.port}`;
        const seen = await checkOnce(checker, `tls://${url}`, { request: { starttls }, timeoutMs: 60 });
        expect(seen.outcome).toBe('down');
        expect(seen.failure?.code).not.toBe('probe.internal');
        const steps = [{ expect: '^never [0-9]+$' }];
        const read = await checkOnce(checker, `tcp://${url}`, { request: { steps }, timeoutMs: 60 });
        expect(read.outcome).toBe('down');
        expect(read.timings.total).toBeLessThan(1_000_000);
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);
