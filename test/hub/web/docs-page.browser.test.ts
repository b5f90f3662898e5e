import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleWeb } from '../../../deploy/web.mjs';
import type { OpenApiDocument } from '../../../hub/api/openapi.ts';
import type { ApiEnv } from '../../../hub/api/operator.ts';
import { createAssets } from '../../../hub/web/assets.ts';
import { docsRoutes } from '../../../hub/web/docs-page.tsx';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';
import { axeFindings, chromiumPath, launchBrowser, overflow } from './browser.ts';

describe.skipIf(!chromiumPath)('the page of the API', () => {
  let browser: Browser;
  let hub: HubScene;
  let server: ReturnType<typeof createAdaptorServer>;
  let page: Page;
  const complaints: string[] = [];
  beforeAll(async () => {
    [browser, hub] = await Promise.all([launchBrowser(), startHubScene()]);
    const document = (await (await hub.ask('/openapi.json')).json()) as OpenApiDocument;
    const files = await bundleWeb();
    const app = new Hono<ApiEnv>()
      .route('/', docsRoutes(document, files))
      .route('/', createAssets(files).routes);
    server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    page = await browser.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
    await hub?.stop();
  });

  test.each([
    [320, 'light'],
    [390, 'dark'],
    [1440, 'light'],
    [1440, 'dark'],
  ] as const)('reads well at %i px, %s', async (width, colorScheme) => {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 900 });
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/docs`);
    expect(await page.textContent('h1')).toBe('The API of this hub');
    const folder = process.env.PARALLAX_SHOTS;
    if (folder) await page.screenshot({ path: `${folder}/docs-${width}-${colorScheme}.png` });
    expect(await overflow(page)).toBe(0);
    expect(await axeFindings(page)).toEqual([]);
    expect(complaints).toEqual([]);
  });

  test('is served by a hub', async () => {
    expect((await hub.ask('/docs')).status).toBe(200);
    expect(await codeOf(await hub.ask('/docs', { method: 'POST' }))).toEqual([405, 'route.method']);
  });
});
