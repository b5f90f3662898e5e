import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { demoEndpoints, prepareDemo, readDemo } from '../../../hub/demo/prepare.ts';
import { type DemoSite, startDemoSite } from '../../../hub/demo/site.ts';
import { endpointSchemas } from '../../../shared/endpoint.ts';

let folder = '';
let site: DemoSite;
let nowMs = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parallax-demo-'));
  const demo = await prepareDemo(folder, Date.now());
  site = await startDemoSite({ ...demo, now: () => nowMs || Date.now(), random: () => 0 });
});
afterAll(async () => {
  await site.close();
  await rm(folder, { recursive: true });
});

describe('the demo site', () => {
  test.each([
    ['/healthy', 0, 200],
    ['/slow', 0, 200],
    ['/flapping', 60_000, 200],
    ['/flapping', 89_999, 200],
    ['/flapping', 90_000, 503],
    ['/flapping', 119_999, 503],
    ['/broken', 0, 500],
    ['/nothing', 0, 404],
  ])('%s at %d ms answers %d', async (path, atMs, status) => {
    nowMs = atMs;
    const began = performance.now();
    const response = await fetch(`http://127.0.0.1:${site.httpPort}${path}`);
    nowMs = 0;
    expect(response.status).toBe(status);
    if (path === '/slow') expect(performance.now() - began).toBeGreaterThan(390);
    await response.text();
  });

  test('/reset resets', async () => {
    await expect(fetch(`http://127.0.0.1:${site.httpPort}/reset`)).rejects.toThrow();
  });

  test.each([
    ['127.0.0.1', undefined, 90],
    ['127.0.0.1', 'expiring.parallax.test', 5],
  ])(
    'TLS at %s for %s is trusted through its own authority and ends in %d days',
    async (host, servername, days) => {
      const { authority } = await readDemo(folder);
      const socket = connect({
        host,
        port: site.httpsPort,
        ca: authority.cert,
        ...(servername && { servername }),
      });
      await new Promise((done, failed) => socket.once('secureConnect', done).once('error', failed));
      expect(socket.authorized).toBe(true);
      const left = (Date.parse(socket.getPeerCertificate().valid_to) - Date.now()) / 86_400_000;
      expect(Math.round(left)).toBe(days);
      socket.destroy();
    },
  );
});

describe('its folder', () => {
  test('keeps ports and authority for the next start; the key is nobody else to read', async () => {
    const other = await mkdtemp(join(tmpdir(), 'parallax-demo-'));
    const first = await prepareDemo(other, Date.now());
    expect(await prepareDemo(other, Date.now())).toEqual(first);
    expect((await stat(join(other, 'demo.json'))).mode & 0o077).toBe(0);
    const taken = createServer().listen(first.httpPort, '127.0.0.1');
    await new Promise((done) => taken.once('listening', done));
    const second = await prepareDemo(other, Date.now());
    taken.close();
    expect(second.httpPort).not.toBe(first.httpPort);
    expect(second.httpsPort).toBe(first.httpsPort);
    await rm(other, { recursive: true });
  });

  test('holds an endpoint file that the schema takes', async () => {
    const text = await readFile(join(folder, 'endpoints.yaml'), 'utf8');
    const { endpoints } = z.object({ endpoints: z.array(endpointSchemas.http) }).parse(parse(text));
    expect(endpoints.map(({ name }) => name)).toEqual(
      demoEndpoints(await readDemo(folder)).map(({ name }) => name),
    );
  });
});
