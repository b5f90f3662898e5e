import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runCli } from '../cli-scene.ts';
import { until } from '../ingest/until.ts';

/** A hub's API as far as `results` asks it. */
let server: Server;
let port = 0;
let status = 200;
let instants: number[] = [];
let asked = 0;

beforeEach(async () => {
  [port, status, instants, asked] = [0, 200, [], 0];
  await listen();
});
afterEach(() => away());

async function listen(): Promise<void> {
  server = createServer((_, response) => {
    asked += 1;
    const results = instants
      .map((scheduledAt) => ({ scheduledAt, region: 'eu-west', probeId: 1 }))
      .toReversed();
    const detail = { detail: 'so it is', code: 'some.code' };
    response.writeHead(status).end(JSON.stringify(status === 200 ? { results, cursor: null } : detail));
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
}

async function away(): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

function follow(signal: AbortSignal) {
  let [out, err] = ['', ''];
  const env = { PARALLAX_HUB: `http://127.0.0.1:${port}`, PARALLAX_TOKEN: 'plx_x' };
  const terminal = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    columns: null,
    colour: false,
  };
  const ended = runCli(['results', 'shop', '--follow', '--json'], env, { signal, terminal });
  const shown = () =>
    out
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { scheduledAt: number }).scheduledAt);
  return { ended, shown, err: () => err };
}

test('--follow goes on over a restart of the hub, and shows what came meanwhile', async () => {
  const stop = new AbortController();
  const at = Date.now() * 1000;
  instants = [at];
  const { ended, shown, err } = follow(stop.signal);
  await until(() => shown().length === 1);
  await away();
  await until(() => err().includes('cannot reach the hub'));
  await listen();
  status = 503;
  const before = asked;
  await until(() => asked > before + 1);
  status = 200;
  instants = [at, at + 1000, at + 2000];
  await until(() => shown().length === 3);
  expect(shown()).toEqual([at, at + 1000, at + 2000]);
  expect(err()).toMatch(
    /^cannot reach the hub at \S+: ECONNREFUSED\. Is it running\? Waiting for it\nthe hub is back\n$/,
  );
  stop.abort();
  expect((await ended).code).toBe(0);
});

test('what the hub refuses ends it', async () => {
  const { ended, shown, err } = follow(AbortSignal.timeout(20_000));
  await until(() => asked > 0);
  status = 403;
  expect((await ended).code).toBe(1);
  expect([shown(), err()]).toEqual([[], 'parallax: so it is (some.code)\n']);
});
