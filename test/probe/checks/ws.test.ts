import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import type { Checker } from '../../../probe/checks/check.ts';
import type { Observation } from '../../../shared/result.ts';
import { checkOnce, startChecker } from './scene.ts';

let checker: Checker;
let real: WebSocketServer;
let base: string;

beforeAll(async () => {
  checker = await startChecker();
  real = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    handleProtocols: (protocols) => (protocols.has('chat') ? 'chat' : false),
    perMessageDeflate: { threshold: 0 },
  });
  real.on('connection', (socket, request) => {
    if (request.url === '/greets') socket.send('hello 42');
    if (request.url === '/closes') socket.close(4001, 'go away');
    if (request.url === '/pings') socket.ping('are you there', undefined, () => undefined);
    socket.on('pong', (data) => socket.send(`pong ${data}`));
    socket.on('message', (data, binary) => {
      if (request.url === '/many') for (let n = 0; n < 5; n += 1) socket.send(`number ${n}`);
      else if (request.url === '/slow') setTimeout(() => socket.send(data), 30);
      else socket.send(data, { binary });
    });
  });
  await once(real, 'listening');
  base = `ws://127.0.0.1:${(real.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await checker.close();
  for (const client of real.clients) client.terminate();
  real.close();
});

const summary = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();

describe('a real server', () => {
  test.each<[path: string, request: object, expected: object, summary: string]>([
    ['/', {}, {}, 'up'],
    ['/', { steps: [{ send: 'a', expect: 'a' }] }, {}, 'up'],
    ['/', { steps: [{ send: 'a1', expect: '^a[0-9]$' }] }, {}, 'up'],
    ['/', { steps: [{ sendHex: '00ff', expectHex: '00ff' }] }, {}, 'up'],
    ['/', { steps: [{ send: 'a', expect: 'b' }] }, {}, 'down expect.response'],
    ['/', { steps: [{ expect: 'b' }] }, {}, 'down body.timeout'],
    ['/greets', { steps: [{ expect: 'hello (42|43)' }] }, {}, 'up'],
    ['/many', { steps: [{ send: 'go', expect: 'number 3' }, { expect: 'number 4' }] }, {}, 'up'],
    ['/pings', { steps: [{ expect: 'pong are you there' }] }, {}, 'up'],
    ['/closes', {}, { closeCode: 4001 }, 'up'],
    ['/closes', {}, { closeCode: 1000 }, 'down expect.response'],
    ['/closes', { steps: [{ send: 'a', expect: 'a' }] }, {}, 'down expect.response'],
    ['/', { closeWith: 3001 }, { closeCode: 3001 }, 'up'],
    ['/', { closeWith: 1000 }, {}, 'up'],
    ['/', { subprotocols: ['news', 'chat'] }, { subprotocol: 'chat' }, 'up'],
    ['/', { subprotocols: ['news'] }, {}, 'up'],
    ['/', { subprotocols: ['news'] }, { subprotocol: 'news' }, 'down expect.header'],
    [
      '/',
      {
        compression: 'deflate',
        steps: [
          { send: 'aaaa', expect: 'aaaa' },
          { send: 'aaaa', expect: 'aaaa' },
        ],
      },
      {},
      'up',
    ],
    ['/', {}, { status: ['401'] }, 'down expect.status'],
    ['/', {}, { headers: [{ name: 'upgrade', matches: 'websocket' }] }, 'up'],
    ['/', {}, { headers: [{ name: 'upgrade', matches: '^web[a-f]' }] }, 'down expect.header'],
    ['/slow', { steps: [{ send: 'a', expect: 'a' }] }, { slowerThan: '20ms' }, 'degraded'],
  ])('%s asked %j and expecting %j is %s', async (path, request, expected, said) => {
    const seen = await checkOnce(checker, `${base}${path}`, { request, expect: expected, timeoutMs: 700 });
    expect(`${summary(seen)}`, JSON.stringify(seen)).toBe(said);
  });
});
