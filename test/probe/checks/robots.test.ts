import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { checkOnce, startChecker } from './scene.ts';
import { type Answer, type RawServer, says, startRawServer, whole } from './servers.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

/** A site with this robots.txt, and a page at every other path. */
async function siteOf(robots: Answer): Promise<RawServer> {
  const site = await startRawServer((socket, asked) =>
    (asked.path === '/robots.txt' ? robots : says(whole('page')))(socket, asked),
  );
  open.push(site);
  return site;
}

async function freshChecker(now?: () => number): Promise<Checker> {
  const checker = await startChecker(now ? { now } : {});
  open.push(checker);
  return checker;
}

const forbids = says(whole('User-agent: *\nDisallow: /private\n\nUser-agent: Parallax\nDisallow: /away\n'));

describe('robots: respect', () => {
  test.each<[string, Answer, string, string]>([
    ['its own group counts', forbids, '/away/x', 'policy.robots'],
    ['and not the others', forbids, '/private', 'up'],
    ['everything', says(whole('User-agent: *\nDisallow: /\n')), '/', 'policy.robots'],
    ['nothing', says(whole('User-agent: *\nDisallow:\n')), '/', 'up'],
    ['allowed inside', says(whole('User-agent: *\nDisallow: /a\nAllow: /a/b\n')), '/a/b', 'up'],
    [
      'compressed',
      says(whole(gzipSync('User-agent: *\nDisallow: /\n'), ['Content-Encoding: gzip'])),
      '/',
      'policy.robots',
    ],
    ['missing', says(whole('', [], '404 Not Found')), '/', 'up'],
    ['broken', says(whole('User-agent: *\nDisallow: /\n', [], '500 Oops')), '/', 'up'],
    ['reset', (socket) => void socket.resetAndDestroy(), '/', 'up'],
    [
      'redirected to a private address',
      says(whole('', ['Location: http://10.0.0.1/r'], '302 Found')),
      '/',
      'up',
    ],
    [
      'larger than anybody reads',
      says(whole(`User-agent: *\nDisallow: /\n${'# x'.repeat(200_000)}`)),
      '/',
      'policy.robots',
    ],
  ])('%s', async (_, robots, path, expected) => {
    const site = await siteOf(robots);
    const seen = await checkOnce(await freshChecker(), `http://127.0.0.1:${site.port}${path}`, {
      robots: 'respect',
    });
    expect(seen.failure?.code ?? seen.outcome).toBe(expected);
    if (expected === 'policy.robots')
      expect(seen).toMatchObject({ outcome: 'skipped', status: null, timings: { wait: null } });
    // Robots are asked without what is meant for the endpoint.
    expect(site.asked[0]?.path).toBe('/robots.txt');
    expect(site.asked.filter((asked) => asked.path !== '/robots.txt').length).toBe(expected === 'up' ? 1 : 0);
  });

  test('is asked once an hour, and again after', async () => {
    let nowMs = 1_800_000_000_000;
    const site = await siteOf(forbids);
    const checker = await freshChecker(() => nowMs);
    const ask = () => checkOnce(checker, `http://127.0.0.1:${site.port}/x`, { robots: 'respect' });
    const asked = () => site.asked.filter(({ path }) => path === '/robots.txt').length;
    await ask();
    await ask();
    expect(asked()).toBe(1);
    nowMs += 3_599_000;
    await ask();
    expect(asked()).toBe(1);
    nowMs += 2000;
    await ask();
    expect(asked()).toBe(2);
  });

  test('is not asked where it is ignored', async () => {
    const site = await siteOf(forbids);
    await checkOnce(await freshChecker(), `http://127.0.0.1:${site.port}/away`);
    expect(site.asked.map(({ path }) => path)).toEqual(['/away']);
  });

  test('the time it takes is not measured, but bounded', async () => {
    const slow: Answer = (socket) =>
      void setTimeout(() => socket.end(whole('User-agent: *\nDisallow:\n')), 150);
    const site = await siteOf(slow);
    const seen = await checkOnce(await freshChecker(), `http://127.0.0.1:${site.port}/`, {
      robots: 'respect',
    });
    expect(seen.outcome).toBe('up');
    expect(seen.timings.total).toBeLessThan(140_000);
    const silent = await siteOf(() => undefined);
    const began = performance.now();
    const url = `http://127.0.0.1:${silent.port}/`;
    const late = await checkOnce(await freshChecker(), url, { robots: 'respect', timeoutMs: 200 });
    expect(performance.now() - began).toBeLessThan(600);
    expect(late.outcome).toBe('up');
  });

  test.each<[string, Answer]>([
    ['is never answered', () => undefined],
    [
      'comes a byte at a time',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n');
        const timer = setInterval(() => socket.write('#'), 20);
        socket.on('close', () => clearInterval(timer));
        socket.on('error', () => undefined);
      },
    ],
  ])('one that %s takes nothing from the check, which has its whole deadline after', async (_, robots) => {
    const slowPage: Answer = (socket) => void setTimeout(() => socket.end(whole('page')), 280);
    const site = await startRawServer((socket, asked) =>
      (asked.path === '/robots.txt' ? robots : slowPage)(socket, asked),
    );
    open.push(site);
    const checker = await freshChecker();
    const ask = () =>
      checkOnce(checker, `http://127.0.0.1:${site.port}/`, { robots: 'respect', timeoutMs: 400 });
    const began = performance.now();
    const seen = await ask();
    expect(seen.failure?.code ?? seen.outcome).toBe('up');
    expect(performance.now() - began).toBeGreaterThan(400);
    expect(seen.timings.total).toBeLessThan(400_000);
    // It is not asked for again so soon.
    await ask();
    expect(site.asked.filter(({ path }) => path === '/robots.txt').length).toBe(1);
  });

  test('credentials are not sent for it', async () => {
    const site = await siteOf(forbids);
    const request = { bearer: 'secret', headers: { 'X-Key': 'k' } };
    await checkOnce(await freshChecker(), `http://127.0.0.1:${site.port}/x`, { robots: 'respect', request });
    expect(site.asked.map(({ headers }) => headers.authorization)).toEqual([undefined, 'Bearer secret']);
    expect(site.asked[0]?.headers['x-key']).toBeUndefined();
  });
});
