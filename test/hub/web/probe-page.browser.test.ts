import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Locator } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { axeFindings, chromiumPath, launchBrowser, overflow, signedIn } from './browser.ts';
import { type PageRegion, type PageScene, pageScene } from './scene.ts';

const hostile = '"><img src=x onerror=alert(1)>';
/** As a person reads it. */
const textOf = async (place: Locator) => (await place.allInnerTexts()).join(' ').replace(/\s+/g, ' ');

describe.skipIf(!chromiumPath)('the page of a probe in a browser', () => {
  let browser: Browser;
  let scene: PageScene;
  let cookie: string;
  let here: PageRegion;

  beforeAll(async () => {
    [browser, scene] = await Promise.all([launchBrowser(), pageScene({ everyMs: 200 })]);
    cookie = await scene.session();
    here = await scene.region('eu-west');
    await scene.region('us-east');
    await scene.db.run(
      `update probe_presence set clock_offset_us = 10800000000, network_state = 'gone',
         network_since = now() - interval '3 minutes', network_why = $2, dropped = 1200, version = $2
       where probe_id = $1`,
      [here.probeId, hostile],
    );
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await scene?.end();
  });

  test.each([
    [320, 'light'],
    [390, 'dark'],
    [1440, 'light'],
    [1440, 'dark'],
  ] as const)(
    '%i px, %s: what it says of itself, in words, axe finds nothing',
    async (width, colorScheme) => {
      const { context, complaints } = await signedIn(browser, scene.url, cookie);
      const page = await context.newPage();
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await page.goto(`${scene.url}/probes`);
      await page.getByRole('link', { name: 'eu-west-1' }).click();
      await page.waitForURL(`${scene.url}/probes/${here.probeId}`);
      const said = await textOf(page.locator('.said'));
      for (const piece of [
        '3 h ahead of hub time',
        'gone for 3 min',
        'counts against no target',
        '0.8 ms',
        '500 checks/s',
        '1,200 results',
        '12 KiB',
        hostile,
      ])
        expect(said).toContain(piece);
      expect(await overflow(page)).toBe(0);
      expect(await axeFindings(page)).toEqual([]);
      expect(await page.locator('main img').count()).toBe(0);
      expect(complaints).toEqual([]);
      if (process.env.PARALLAX_PICTURES) {
        mkdirSync(process.env.PARALLAX_PICTURES, { recursive: true });
        const name = `probe-${colorScheme}-${width}.png`;
        await page.screenshot({ path: join(process.env.PARALLAX_PICTURES, name), fullPage: true });
      }
      await context.close();
    },
  );

  test('is not shown to who may not see its region', async () => {
    const headers = { authorization: `Bearer ${await scene.token(['read'], ['us-east'])}` };
    const answer = await scene.get(`/probes/${here.probeId}`, undefined, headers);
    expect(answer.status).toBe(404);
    expect(await answer.text()).not.toContain('eu-west');
    expect((await scene.get('/probes/99999', cookie)).status).toBe(404);
  });
});
