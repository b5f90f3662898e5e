import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { watchReady } from '../../../hub/up/watch-ready.ts';
import { until } from '../ingest/until.ts';

test('what the hub misses is said once each time it changes, and nothing of a hub that does not answer', async () => {
  let missing: { what: string; why: string }[] | null = [];
  let asked = 0;
  const server = createServer((_, response) => {
    asked += 1;
    if (missing === null) response.destroy();
    else response.writeHead(missing.length > 0 ? 503 : 200).end(JSON.stringify({ missing }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const said: string[] = [];
  const stop = new AbortController();
  const { port } = server.address() as AddressInfo;
  const watching = watchReady(`http://127.0.0.1:${port}`, (line) => void said.push(line), stop.signal, 5);
  const looks = async (count: number) => {
    const from = asked;
    await until(() => asked >= from + count);
  };
  await looks(3);
  expect(said).toEqual([]);
  const full = 'could not extend file "base/1/2": No space left on device';
  missing = [{ what: 'bus', why: `${full} (try 3)` }];
  await looks(3);
  missing = [{ what: 'bus', why: `${full} (try 4)` }];
  await looks(3);
  missing = null;
  await looks(3);
  missing = [{ what: 'hub', why: 'it is stopping' }];
  await looks(3);
  stop.abort();
  await watching;
  server.close();
  expect(said).toEqual([`is not ready: bus: ${full} (try 3)`, 'is ready again']);
});
