import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser, Locator } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createSession } from '../../../hub/trust/sessions.ts';
import { startProbe, tempFolder } from '../../probe/start-probe.ts';
import { type HubScene, startHubScene } from '../hub-scene.ts';
import { until } from '../ingest/until.ts';
import { axeFindings, chromiumPath, launchBrowser, overflow, signedIn } from './browser.ts';

// As the build does (deploy/web.mjs): the bundled files in place of the empty list.
vi.mock('../../../hub/web/embedded-files.ts', async () => {
  const { bundleWeb } = await import('../../../deploy/web.mjs');
  return { embeddedFiles: await bundleWeb() };
});

const hostile = '"><img src=x onerror=alert(1)>';
/** As a person reads it. */
const textOf = async (place: Locator) => (await place.allInnerTexts()).join(' ');

describe.skipIf(!chromiumPath)('a check on demand in a browser', () => {
  let browser: Browser;
  let hub: HubScene;
  let target = '';
  let hits: string[] = [];
  const ends: (() => Promise<unknown>)[] = [];

  async function probeIn(region: string): Promise<void> {
    const answer = await hub.ask('/api/v1/enrollments', {
      method: 'POST',
      token: await hub.token(['admin']),
      body: JSON.stringify({ region }),
      headers: { 'content-type': 'application/json' },
    });
    const { token: text } = (await answer.json()) as { token: string };
    const folder = await tempFolder();
    const probe = startProbe({ dataDir: folder.path, token: { text }, name: `p-${region}` });
    ends.push(async () => {
      await probe.stop();
      await folder.remove();
    });
    await probe.said('new assignments in force');
  }

  beforeAll(async () => {
    [browser, hub] = await Promise.all([launchBrowser(), startHubScene()]);
    const server = createServer((request, response) => {
      hits.push(`${request.method} ${request.url}`);
      if (request.url === '/hang') return;
      response.writeHead(request.url === '/broken' ? 503 : 200, 'fine').end('the fox');
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    ends.push(async () => {
      server.closeAllConnections();
      server.close();
    });
    target = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await probeIn('eu-west');
    await probeIn('us-east');
    // The page ticks regions whose probes the hub has seen: it looks now and then.
    const { page, context } = await open('/check');
    const ticked = async () => {
      await page.reload();
      return (await page.locator('[name="regions"]:checked').count()) === 2;
    };
    await until(ticked, 60_000);
    await context.close();
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    for (const end of ends.toReversed()) await end();
    await hub?.stop();
  });

  const cookieOf = async (actor = 'session:test', scopes: ('admin' | 'write' | 'read')[] = ['write']) =>
    `parallax-loopback=${await createSession(hub.db, hub.keys, { actor, scopes })}`;
  const open = async (path: string, options: Parameters<typeof signedIn>[3] = {}, cookie?: string) => {
    const { context, complaints } = await signedIn(
      browser,
      hub.origin,
      cookie ?? (await cookieOf()),
      options,
    );
    const page = await context.newPage();
    await page.goto(`${hub.origin}${path}`);
    return { page, context, complaints };
  };

  test.each([320, 1440])(
    '%i px: each region’s result stands on the page as it comes',
    async (width) => {
      const { page, context, complaints } = await open('/check');
      await page.setViewportSize({ width, height: 900 });
      expect(await page.locator('[name="regions"]:checked').count()).toBe(2);
      hits = [];
      await page.getByLabel('URL').fill(`${target}/broken`);
      await page.getByLabel('Method').selectOption('HEAD');
      await page.getByRole('button', { name: 'Check now' }).click();
      await page.getByText('2 of 2 answered.').waitFor({ timeout: 15_000 });
      expect(hits).toEqual(['HEAD /broken', 'HEAD /broken']);
      const lines = page.locator('#order-results details.down');
      expect(await lines.count()).toBe(2);
      const text = await textOf(lines.first());
      expect(text).toContain('the status is 503');
      expect(text).toContain('expect.status');
      expect(await overflow(page)).toBe(0);
      expect(await axeFindings(page)).toEqual([]);
      expect(complaints).toEqual([]);
      if (process.env.PARALLAX_PICTURES) {
        mkdirSync(process.env.PARALLAX_PICTURES, { recursive: true });
        await page.screenshot({
          path: join(process.env.PARALLAX_PICTURES, `checked-${width}.png`),
          fullPage: true,
        });
      }
      // Another status is expected, from one region alone.
      hits = [];
      await page.getByLabel('Expected status').fill('503');
      await page.getByLabel('us-east').uncheck();
      await page.getByRole('button', { name: 'Check now' }).click();
      await page.getByText('1 of 1 answered.').waitFor({ timeout: 15_000 });
      expect(await page.locator('#order-results details.up').count()).toBe(1);
      expect(hits).toEqual(['HEAD /broken']);
      await context.close();
    },
    60_000,
  );

  test('while it waits each region says so; the wait ends in words', async () => {
    const { page, context } = await open('/check');
    await page.getByLabel('URL').fill(`${target}/hang`);
    await page.getByRole('button', { name: 'Check now' }).click();
    await page.locator('#order-results .waits').first().waitFor();
    expect(await textOf(page.locator('#order-says'))).toContain('It waits 10 s at most.');
    await page.getByText('2 of 2 answered.').waitFor({ timeout: 15_000 });
    expect(await textOf(page.locator('#order-results'))).toContain('wait.timeout');
    await context.close();
  }, 60_000);

  test('without JavaScript the form is posted and the next page has the results', async () => {
    const { page, context } = await open('/check', { javaScriptEnabled: false });
    await page.getByLabel('URL').fill(`${target}/ok`);
    await page.getByRole('button', { name: 'Check now' }).click();
    await page.getByText('2 of 2 answered.').waitFor({ timeout: 15_000 });
    expect(await page.locator('#order-results details.up').count()).toBe(2);
    expect(await page.getByLabel('URL').inputValue()).toBe(`${target}/ok`);
    await page.getByLabel('Expected status').fill('nonsense');
    await page.getByRole('button', { name: 'Check now' }).click();
    await page.locator('#status-hint.wrong').waitFor();
    expect(await textOf(page.locator('#status-hint'))).toContain("'2xx', '200' or '200-204'");
    await context.close();
  }, 60_000);

  test('what is wrong is said at its field, and the focus goes there', async () => {
    const { page, context } = await open('/check');
    await page.getByLabel('URL').fill(`gopher://${hostile}`);
    await page.getByRole('button', { name: 'Check now' }).click();
    await page.locator('#url-hint.wrong').waitFor();
    expect(await page.locator('#url').getAttribute('aria-invalid')).toBe('true');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('url');
    await page.getByLabel('URL').fill(`${target}/ok`);
    for (const box of await page.locator('[name="regions"]').all()) await box.uncheck();
    await page.getByRole('button', { name: 'Check now' }).click();
    await page.locator('#regions-hint.wrong').getByText('choose at least one region').waitFor();
    expect(await page.locator('#url-hint.wrong').count()).toBe(0);
    expect(await axeFindings(page)).toEqual([]);
    await context.close();
  }, 30_000);

  test('too many in a minute: said in words, after the scope and the origin were looked at', async () => {
    const cookie = await cookieOf('session:busy');
    await hub.db.run(
      `insert into orders (id, probe_id, region_id, content, asked_by, asked_at, until)
       select md5(n::text), p.id, p.region_id, '', 'session:busy', now(), now() - interval '1 minute'
       from generate_series(1, 100) n, (select * from probes limit 1) p`,
    );
    const { page, context } = await open('/check', {}, cookie);
    await page.getByLabel('URL').fill(`${target}/ok`);
    await page.getByRole('button', { name: 'Check now' }).click();
    await page.locator('#refused').getByText('at most 100 checks a minute').waitFor();
    await context.close();

    const body = new URLSearchParams({ url: `${target}/ok`, regions: 'eu-west' });
    const post = (headers: Record<string, string>) =>
      fetch(`${hub.origin}/check`, { method: 'POST', headers, body, redirect: 'manual' });
    const writes = await cookieOf();
    hits = [];
    for (const foreign of [
      {},
      { origin: 'null' },
      { origin: 'https://evil.example' },
      { origin: hub.origin, 'sec-fetch-site': 'cross-site' },
    ])
      expect((await post({ cookie: writes, ...foreign } as Record<string, string>)).status).toBe(403);
    const reads = await cookieOf('session:reader', ['read']);
    expect((await post({ cookie: reads, origin: hub.origin })).status).toBe(403);
    expect((await post({ origin: hub.origin })).status).toBe(401);
    expect(hits).toEqual([]);

    const reader = await open('/check', {}, reads);
    await reader.page.getByText('A check on demand takes the scope write.').waitFor();
    expect(await reader.page.locator('form').count()).toBe(0);
    await reader.context.close();
  }, 30_000);

  test('an endpoint is asked as it stands', async () => {
    const made = await hub.ask('/api/v1/endpoints', {
      method: 'POST',
      token: await hub.token(['admin']),
      body: JSON.stringify({
        name: 'fox',
        url: `${target}/fox`,
        enabled: false,
        request: { method: 'PUT' },
        expect: { status: ['418'] },
      }),
      headers: { 'content-type': 'application/json' },
    });
    expect(made.status).toBe(201);
    const { id } = (await made.json()) as { id: number };
    const { page, context, complaints } = await open('/check', {});
    await expect
      .poll(async () => (await page.goto(`${hub.origin}/check?endpoint=${id}`))?.status())
      .toBe(200);
    complaints.length = 0;
    hits = [];
    await page.getByRole('button', { name: 'Check now' }).click();
    await page.getByText('2 of 2 answered.').waitFor({ timeout: 15_000 });
    expect(hits).toEqual(['PUT /fox', 'PUT /fox']);
    expect(await textOf(page.locator('#order-results'))).toContain('the status is 200');
    expect(complaints).toEqual([]);
    await context.close();
  }, 60_000);
});
