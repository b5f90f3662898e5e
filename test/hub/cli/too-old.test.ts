import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { refusedFromMs } from '../../../hub/trust/probe-versions.ts';
import { runCli } from '../cli-scene.ts';

const day = 86_400_000;
const versions = { batchSchemas: [1], newest: '1.4.0', oldest: '1.2.0', refusedFrom: 1_800_000_000 };

test.each<[string | null, number | null]>([
  [null, null],
  ['1.2.0', null],
  ['1.3.0-rc.1', null],
  ['1.2.0-rc.1', 1_800_000_000_000],
  ['0.1.0', 1_800_000_000_000],
  ['something else', 1_800_000_000_000],
])('a probe of version %s is refused from %s on', (version, from) => {
  expect(refusedFromMs(version, versions)).toBe(from);
});

let server: Server;
let probes: object[] = [];
beforeAll(async () => {
  server = createServer((_, response) => {
    response.end(JSON.stringify({ probes, cursor: null }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => void server.close());

function probe(id: number, version: string, refusedFrom: number | null): object {
  return {
    id,
    name: `p${id}`,
    region: 'lab',
    status: 'active',
    trusted: true,
    createdAt: new Date().toISOString(),
    seenAt: new Date().toISOString(),
    leaseExpiresAt: null,
    spoolBytes: 0,
    dropped: 0,
    capacity: 1000,
    noiseUs: 0,
    version,
    refusedFrom: refusedFrom === null ? null : new Date(refusedFrom).toISOString(),
    network: null,
    clockOffsetUs: null,
  };
}

test('parallax probes list says which are too old, and until when they go on', async () => {
  const later = Date.now() + 5 * day;
  probes = [probe(3, '1.4.0', null), probe(2, '1.1.0', later), probe(1, '1.0.\u001b0', Date.now() - day)];
  const { port } = server.address() as AddressInfo;
  const env = { PARALLAX_HUB: `http://127.0.0.1:${port}`, PARALLAX_TOKEN: 'plx_x' };
  const { code, out } = await runCli(['probes', 'list'], env);
  expect(code).toBe(0);
  expect(out).toMatch(/^3 .* 1\.4\.0$/m);
  expect(out).toMatch(/^2 .* 1\.1\.0 \(too old\)$/m);
  const from = new Date(later).toISOString().slice(0, 10);
  expect(out).toContain(
    `2 (p2): version 1.1.0 is too old for this hub and is refused from ${from} on: update it\n`,
  );
  expect(out).toContain('1 (p1): version 1.0.\ufffd0 is too old for this hub and is refused: update it\n');
});
