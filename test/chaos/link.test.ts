import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { until } from '../hub/ingest/until.ts';
import { type Link, openLink } from './link.ts';
import type { LinkMode } from './link-mode.ts';
import { createRandom } from './random.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function linkTo(...ports: number[]): Promise<Link> {
  const targets = ports.map((port) => ({ host: '127.0.0.1', port }));
  const link = await openLink({ name: 'link', random: createRandom(1), targets: () => targets });
  closing.push(() => link.close());
  return link;
}

/** A connection through the link, with all that came back and how it ended. */
function dial({ port }: Link) {
  const socket = connect({ port, host: '127.0.0.1' });
  closing.push(() => socket.destroy());
  const seen = { socket, text: '', end: null as 'end' | 'reset' | null };
  socket.on('data', (bytes) => {
    seen.text += bytes;
  });
  socket.on('end', () => {
    seen.end = 'end';
  });
  socket.on('error', () => {
    seen.end = 'reset';
  });
  return seen;
}

/** Says back what it hears, and keeps who came. */
async function echoing(): Promise<{ port: number; sockets: Socket[]; heard: () => string }> {
  const sockets: Socket[] = [];
  let heard = '';
  const port = await listening(
    createServer((socket) => {
      sockets.push(socket);
      closing.push(() => socket.destroy());
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        heard += bytes;
        socket.write(bytes);
      });
    }),
  );
  return { port, sockets, heard: () => heard };
}

test('what passes, passes whole, in both directions and with its end', async () => {
  const big = Buffer.alloc(5_000_000, 'abcdefg');
  const port = await listening(
    createServer({ allowHalfOpen: true }, (socket) => {
      const parts: Buffer[] = [];
      socket.on('data', (part) => parts.push(part));
      // Answers only once the other has ended: the link must carry one end and leave the other way open.
      socket.on('end', () => socket.end(Buffer.concat(parts)));
    }),
  );
  const client = connect({ port: (await linkTo(port)).port, host: '127.0.0.1', allowHalfOpen: true });
  client.end(big);
  const parts: Buffer[] = [];
  for await (const part of client) parts.push(part);
  expect(Buffer.concat(parts).equals(big)).toBe(true);
});

test('a link that is cut ends what stands, takes nothing, and works again when it is whole', async () => {
  const server = await echoing();
  const link = await linkTo(server.port);
  const before = dial(link);
  before.socket.write('one');
  await until(() => before.text === 'one');
  link.set({ kind: 'cut' });
  await until(() => before.end !== null);
  const during = dial(link);
  await until(() => during.end === 'reset');
  link.set({ kind: 'pass' });
  const after = dial(link);
  after.socket.write('two');
  await until(() => after.text === 'two');
});

test('nothing is heard through a silent link, not even an end; afterwards all of it is, in order', async () => {
  const server = await echoing();
  const link = await linkTo(server.port);
  const client = dial(link);
  client.socket.write('a');
  await until(() => client.text === 'a');
  link.set({ kind: 'silent', from: 'both' });
  client.socket.write('b');
  server.sockets[0]?.end('bye');
  await wait(200);
  expect([server.heard(), client.text, client.end]).toEqual(['a', 'a', null]);
  link.set({ kind: 'pass' });
  await until(() => client.end === 'end');
  expect([server.heard(), client.text]).toEqual(['ab', 'abye']);
});

test.each([
  ['client', ''],
  ['server', 'ab'],
] as const)('silent only from the %s', async (from, heardMeanwhile) => {
  const server = await echoing();
  const link = await linkTo(server.port);
  const client = dial(link);
  client.socket.write('a');
  await until(() => client.text === 'a');
  link.set({ kind: 'silent', from });
  client.socket.write('b');
  if (heardMeanwhile) await until(() => server.heard() === heardMeanwhile);
  else {
    await wait(150);
    expect(server.heard()).toBe('a');
  }
  expect(client.text).toBe('a');
  link.set({ kind: 'pass' });
  await until(() => client.text === 'ab');
});

test('what is late comes late and in order, and so does the end behind it', async () => {
  const port = await listening(createServer((socket) => socket.on('error', () => undefined).end('hello')));
  const link = await linkTo(port);
  link.set({ kind: 'delay', ms: 300 });
  const began = performance.now();
  const client = dial(link);
  await until(() => client.end !== null);
  expect(client).toMatchObject({ text: 'hello', end: 'end' });
  expect(performance.now() - began).toBeGreaterThan(290);
});

test('a trickle gives its bytes a second, and the rest at once when it is over', async () => {
  const server = await echoing();
  const link = await linkTo(server.port);
  link.set({ kind: 'trickle', bytesPerSecond: 1 });
  const client = dial(link);
  client.socket.write('abcdef');
  await until(() => server.heard().length >= 1);
  await wait(500);
  expect(server.heard()).toBe('a');
  link.set({ kind: 'pass' });
  await until(() => client.text === 'abcdef');
});

test('with loss some of it is late, none of it is missing unless the connection breaks', async () => {
  const server = await echoing();
  const link = await linkTo(server.port);
  link.set({ kind: 'loss', share: 0.3 });
  const client = dial(link);
  let said = '';
  for (let at = 0; at < 20 && client.end === null; at += 1) {
    said += `${at} `;
    client.socket.write(`${at} `);
    await wait(5);
  }
  await until(() => client.text === said || client.end !== null);
  expect(said.startsWith(client.text)).toBe(true);
});

test('a reset comes in the middle of an answer', async () => {
  const server = await echoing();
  const link = await linkTo(server.port);
  const client = dial(link);
  link.set({ kind: 'reset', share: 1 });
  client.socket.write('abcdef');
  await until(() => client.end === 'reset');
  expect('abcdef'.startsWith(client.text) && client.text.length < 6).toBe(true);
});

test('an echo gives an older answer to the same question, and the server never hears it', async () => {
  let asked = 0;
  const port = await listening(
    createHttpServer((_, response) => {
      asked += 1;
      response.writeHead(200, { 'content-length': 1 }).end(String(asked));
    }),
  );
  const link = await linkTo(port);
  const question = 'GET /x HTTP/1.1\r\nhost: x\r\n\r\n';
  const client = dial(link);
  client.socket.write(question);
  await until(() => client.text.endsWith('1'));
  // It is a whole answer once the next question is there.
  client.socket.write(question);
  await until(() => client.text.endsWith('2'));
  link.set({ kind: 'echo', share: 1 });
  const before = client.text.length;
  client.socket.write(question);
  await until(() => client.text.length > before);
  expect(client.text.slice(before)).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*2$/);
  expect(asked).toBe(2);
});

test('of several servers the one that is there takes the connection', async () => {
  const gone = createServer();
  const port = await listening(gone);
  gone.close();
  await once(gone, 'close');
  const server = await echoing();
  const link = await linkTo(port, server.port);
  for (let at = 0; at < 4; at += 1) {
    const client = dial(link);
    client.socket.write('x');
    await until(() => client.text === 'x');
  }
});

test('with nobody behind it a connection is reset', async () => {
  const gone = createServer();
  const port = await listening(gone);
  gone.close();
  await once(gone, 'close');
  const client = dial(await linkTo(port));
  await until(() => client.end === 'reset');
});

test('a side that speaks faster than the other hears is held back', async () => {
  const port = await listening(createServer((socket) => socket.on('error', () => undefined).resume()));
  const modes: LinkMode[] = [{ kind: 'silent', from: 'both' }, { kind: 'pass' }];
  for (const mode of modes) {
    const link = await linkTo(port);
    link.set(mode);
    const client = connect({ port: link.port, host: '127.0.0.1' });
    closing.push(() => client.destroy());
    client.on('error', () => undefined);
    const chunk = Buffer.alloc(1_000_000);
    for (let at = 0; at < 40; at += 1) client.write(chunk);
    if (mode.kind === 'pass') await until(() => client.writableLength === 0);
    else {
      await wait(300);
      expect(client.writableLength).toBeGreaterThan(20_000_000);
    }
  }
});
