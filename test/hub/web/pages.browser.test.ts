import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { axeFindings, chromiumPath, launchBrowser, overflow, signedIn } from './browser.ts';
import { type PageRegion, type PageScene, pageScene } from './scene.ts';

const hostile = {
  team: '<img src=x onerror=alert(1)><script>alert(2)</script>',
  name: 'a'.repeat(100),
  override: '\u202egnp.exe \u2066 \u0000'.replaceAll('\0', ''),
  message: '"><svg onload=alert(3)>',
  probe: '<b onmouseover=alert(4)>probe</b>',
};

describe.skipIf(!chromiumPath)('pages in a browser', () => {
  let browser: Browser;
  let scene: PageScene;
  let cookie: string;
  let here: PageRegion;
  let there: PageRegion;
  const ids: Record<string, number> = {};

  beforeAll(async () => {
    [browser, scene] = await Promise.all([launchBrowser(), pageScene({ everyMs: 200 })]);
    cookie = await scene.session();
    here = await scene.region('eu-west');
    there = await scene.region('us-east');
    for (const [name, team] of [
      ['shop', 'web'],
      ['search', 'web'],
      ['basket', 'web'],
      ['refunds', 'payments'],
      [hostile.name, hostile.team],
      ['overridden', hostile.override],
      ['unseen', 'web'],
    ] as const) {
      ids[name] = scene.endpoint({ name, url: `https://${encodeURI(name)}.example/`, tags: { team } });
    }
    await scene.see(
      ...Object.entries(ids)
        .filter(([name]) => name !== 'unseen')
        .flatMap(([, endpointId]) => [
          { endpointId, region: here, ago: 3 },
          { endpointId, region: there, ago: 4, ms: 1240 },
        ]),
      {
        endpointId: ids.refunds ?? 0,
        region: here,
        ago: 2,
        failed: 'connect.refused',
        message: hostile.message,
      },
      { endpointId: ids.basket ?? 0, region: there, ago: 2, failed: 'expect.cert' },
      { endpointId: ids.search ?? 0, region: there, ago: 2, failed: 'policy.blocked' },
      { endpointId: ids.search ?? 0, region: here, ago: 2, suspect: true },
    );
    await scene.probe('eu-west', 'pending', hostile.probe);
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await scene?.end();
  });

  const open = async (path: string, options: Parameters<typeof signedIn>[3] = {}) => {
    const { context, complaints } = await signedIn(browser, scene.url, cookie, options);
    const page = await context.newPage();
    await page.goto(`${scene.url}${path}`);
    return { page, context, complaints };
  };

  const widths = [320, 390, 820, 1440];
  test.each(
    widths.flatMap((width) => (['light', 'dark'] as const).map((scheme) => [width, scheme] as const)),
  )(
    '%i px, %s: nothing sticks out, axe finds nothing, strangers stay inert',
    async (width, scheme) => {
      const more = width === 390 ? ['/sign-in', '/?find=nothing-of-that-name'] : [];
      for (const path of ['/', '/probes', ...more]) {
        const { page, context, complaints } = await open(path);
        await page.setViewportSize({ width, height: 900 });
        await page.emulateMedia({ colorScheme: scheme });
        expect(await overflow(page), path).toBe(0);
        expect(await axeFindings(page), path).toEqual([]);
        expect(await page.locator('main img, main script, main [onload], main [onmouseover]').count()).toBe(
          0,
        );
        expect(complaints, path).toEqual([]);
        await context.close();
      }
    },
    60_000,
  );

  test('every view has its word; what was not seen is not green', async () => {
    const { page, context } = await open('/');
    await page.setViewportSize({ width: 1440, height: 900 });
    const cells = (name: string) => page.locator(`.row[data-id="${ids[name]}"] td.cell`).allInnerTexts();
    const flat = async (name: string) => (await cells(name)).map((text) => text.replace(/\s+/g, ' ').trim());
    expect(await flat('shop')).toEqual([
      expect.stringMatching(/^40 ms, up \d+[sm]$/),
      expect.stringMatching(/^1.24 s ?, up \d+[sm]$/),
    ]);
    expect(await flat('refunds')).toEqual([
      expect.stringMatching(/^refused ?, down \d+[sm]$/),
      expect.anything(),
    ]);
    expect(await flat('search')).toEqual([
      expect.stringMatching(/^~40 ms, up, suspect/),
      expect.stringMatching(/^blocked/),
    ]);
    expect(await flat('unseen')).toEqual(['no view', 'no view']);
    expect(await page.locator(`.row[data-id="${ids.unseen}"] .up`).count()).toBe(0);
    expect(await page.locator(`.row[data-id="${ids.refunds}"] td.down`).getAttribute('title')).toContain(
      hostile.message,
    );
    // The override ends where the name ends.
    expect(await page.locator('h2 bdi', { hasText: 'gnp.exe' }).count()).toBe(1);
    await context.close();
  });

  test('a result changes its cell in place; the row stays where it is until the change is asked for', async () => {
    const { page, context, complaints } = await open('/');
    await page.setViewportSize({ width: 1440, height: 900 });
    const order = () =>
      page.locator('.row').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-id')));
    const before = await order();
    const places = () =>
      page.locator('.row').evaluateAll((rows) => rows.map((row) => row.getBoundingClientRect().top));
    const tops = await places();
    await scene.see({ endpointId: ids.shop ?? 0, region: there, ago: 0, failed: 'wait.timeout' });
    const cell = page.locator(`.row[data-id="${ids.shop}"] td.cell`).nth(1);
    await expect.poll(() => cell.getAttribute('class'), { timeout: 10_000 }).toContain('down');
    expect(await cell.locator('.txt').textContent()).toBe('timeout');
    expect(await page.locator(`.row[data-id="${ids.shop}"] .views .down`).count()).toBe(1);
    expect(await order()).toEqual(before);
    expect(await places()).toEqual(tops);
    const changes = page.locator('#changes');
    await changes.getByText('1 change', { exact: true }).waitFor();
    expect(await places()).toEqual(tops);
    expect(await axeFindings(page)).toEqual([]);

    await page.getByRole('button', { name: 'Show them' }).click();
    await page.locator(`.row.changed[data-id="${ids.shop}"]`).waitFor();
    expect((await order()).indexOf(String(ids.shop))).toBeLessThan(before.indexOf(String(ids.shop)));
    expect(await changes.isHidden()).toBe(true);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('matrix');
    expect(await page.title()).toBe('2 down: Parallax');

    // And it goes on hearing after it was drawn anew.
    await scene.see({ endpointId: ids.shop ?? 0, region: there, ago: -1, ms: 77 });
    await expect.poll(() => cell.locator('.txt').textContent(), { timeout: 10_000 }).toBe('77');
    await changes.getByText('shop').waitFor();
    // Back to what the page says: no change is left.
    await scene.see({ endpointId: ids.shop ?? 0, region: there, ago: -2, failed: 'wait.timeout' });
    await changes.waitFor({ state: 'hidden' });
    await scene.see({ endpointId: ids.shop ?? 0, region: there, ago: -3, ms: 50 });
    expect(complaints).toEqual([]);
    await context.close();
  }, 60_000);

  test('the words of a row follow in place, as far as they fit', async () => {
    const { page, context } = await open('/');
    await page.setViewportSize({ width: 1440, height: 900 });
    const row = page.locator(`.row[data-id="${ids.basket}"]`);
    const word = row.locator('.word');
    expect(await word.textContent()).toBe('degraded from 1 of 2');
    const height = (await row.boundingBox())?.height;
    await scene.see({ endpointId: ids.basket ?? 0, region: here, ago: 0, failed: 'expect.cert' });
    await expect.poll(() => word.textContent(), { timeout: 10_000 }).toBe('degraded');
    expect(await row.locator('.why').textContent()).toBe('The certificate ends soon expect.cert');
    expect((await row.boundingBox())?.height).toBe(height);
    await expect.poll(() => page.locator('.sky .degraded').count(), { timeout: 15_000 }).toBe(2);

    await scene.see(
      { endpointId: ids.basket ?? 0, region: here, ago: -1 },
      { endpointId: ids.basket ?? 0, region: there, ago: -1 },
    );
    await expect.poll(() => word.textContent(), { timeout: 10_000 }).toBe('up');
    expect((await row.boundingBox())?.height).toBe(height);
    // A quiet row has no room for reasons: it says what, and the change bar waits to say why.
    const quiet = page.locator(`.row[data-id="${ids.overridden}"]`);
    const low = (await quiet.boundingBox())?.height;
    await scene.see({ endpointId: ids.overridden ?? 0, region: here, ago: 0, failed: 'dns.nxdomain' });
    await expect
      .poll(() => quiet.locator('.word').textContent(), { timeout: 10_000 })
      .toBe('down from 1 of 2');
    expect((await quiet.boundingBox())?.height).toBe(low);
    // What stands over the rows follows too.
    await page.getByRole('link', { name: 'down 2' }).waitFor({ timeout: 15_000 });
    expect(await page.title()).toBe('2 down: Parallax');
    await page.locator('.counts', { hasText: '1 endpoint: 1 down' }).first().waitFor();
    await scene.see({ endpointId: ids.overridden ?? 0, region: here, ago: -1 });
    await scene.see({ endpointId: ids.basket ?? 0, region: there, ago: -2, failed: 'expect.cert' });
    await expect.poll(() => word.textContent(), { timeout: 10_000 }).toBe('degraded from 1 of 2');
    await context.close();
  }, 60_000);

  test('a new endpoint is told of, not thrown in', async () => {
    const { page, context } = await open('/');
    const rows = await page.locator('.row').count();
    const id = scene.endpoint({ name: 'newcomer', url: 'https://new.example/', tags: { team: 'web' } });
    await page.locator('#changes').getByText('endpoints or regions came').waitFor();
    expect(await page.locator('.row').count()).toBe(rows);
    await page.getByRole('button', { name: 'Show them' }).click();
    await page.locator(`.row[data-id="${id}"]`).waitFor();
    scene.remove(id);
    await context.close();
  });

  test('keyboard: the first stop skips to the content, / finds, every stop is seen', async () => {
    const { page, context } = await open('/');
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.textContent?.trim())).toBe('To the content');
    const unseen = await focusStops(page, 40);
    expect(unseen.stops).toBeGreaterThan(8);
    expect(unseen.invisible).toEqual([]);
    await page.locator('h1').click();
    await page.keyboard.press('/');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('find');
    await context.close();
  });

  test('the filter follows what is written, keeps the focus, and stands in the address', async () => {
    const { page, context } = await open('/');
    await page.locator('#find').pressSequentially('pay');
    await expect.poll(() => page.locator('.row').count()).toBe(1);
    expect(new URL(page.url()).search).toBe('?find=pay');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('find');
    await page.getByRole('link', { name: /^down/ }).click();
    expect(new URL(page.url()).search).toBe('?find=pay&state=down');
    expect(await page.locator('.row').count()).toBe(1);
    await page.locator('#find').fill('');
    await expect.poll(() => new URL(page.url()).search).toBe('?state=down');
    await context.close();
  });

  test('without JavaScript: read, filtered, and loaded again by itself', async () => {
    const { page, context } = await open('/', { javaScriptEnabled: false });
    expect(await page.locator('.row').count()).toBe(7);
    expect(await (await scene.get('/', cookie)).text()).toContain(
      '<noscript><meta http-equiv="refresh" content="30"/></noscript>',
    );
    expect(await page.locator('[data-theme-switch]').isHidden()).toBe(true);
    await page.locator('#find').fill('refunds');
    await page.getByRole('button', { name: 'Filter' }).click();
    expect(await page.locator('.row').count()).toBe(1);
    await page.goto(`${scene.url}/probes`);
    expect(await page.locator('.probes tbody tr').count()).toBe(3);
    await context.close();
  });

  test('silence of the hub is said', async () => {
    const { context } = await signedIn(browser, scene.url, cookie);
    const page = await context.newPage();
    await page.clock.install();
    await page.goto(`${scene.url}/`);
    await context.setOffline(true);
    await page.clock.runFor(20_000);
    await page.getByText(/No word from the hub for \d+ s|The hub refuses to go on/).waitFor();
    await context.close();
  });

  test("the hub's own trouble is said, and makes nothing unknown", async () => {
    const { page, context } = await open('/');
    scene.bus.status = { kind: 'kafka', ready: true, reason: null, lag: 12_345 };
    await page.getByText('12,345 messages wait, catching up').waitFor({ timeout: 10_000 });
    scene.bus.status = { kind: 'direct', ready: true, reason: null, lag: null };
    await context.close();
  });

  test('a probe is approved at once and revoked on the second press', async () => {
    const { page, context, complaints } = await open('/probes');
    const row = page.locator('tr', { hasText: '<b onmouseover' });
    await row.getByText('waits for approval').waitFor();
    await row.getByRole('button', { name: 'Approve' }).click();
    await row.getByText('not seen').waitFor();
    const revoke = row.getByRole('button', { name: 'Revoke' });
    await revoke.click();
    await row.getByRole('button', { name: 'Revoke for good' }).waitFor();
    expect(await row.getByText('revoked').count()).toBe(0);
    await revoke.click();
    await row.getByText('revoked').waitFor();
    expect(await row.getByRole('button').count()).toBe(0);
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('who may only read sees no buttons', async () => {
    const { context } = await signedIn(browser, scene.url, await scene.session(['read']));
    const page = await context.newPage();
    await page.goto(`${scene.url}/probes`);
    expect(await page.locator('.probes tbody tr').count()).toBeGreaterThan(1);
    expect(await page.locator('[data-act]').count()).toBe(0);
    await context.close();
  });

  test('a sign-in link redeems on the click alone, once, and leaves no secret in the address', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${scene.url}/probes`);
    expect(page.url()).toBe(`${scene.url}/sign-in?to=%2Fprobes`);
    const link = await scene.signInLink();
    await page.goto(`${link.replace('#', '?to=%2Fprobes#')}`);
    const used = async () =>
      (await scene.db.one<{ used: number }>('select count(used_at) as used from sign_in_links')).used;
    const before = await used();
    await page.getByRole('button', { name: 'Sign in to Parallax' }).waitFor();
    expect(page.url()).not.toContain('#');
    expect(await used()).toBe(before);
    await page.getByRole('button', { name: 'Sign in to Parallax' }).click();
    await page.waitForURL(`${scene.url}/probes`);
    expect(await used()).toBe(before + 1);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL(`${scene.url}/sign-in`);

    await page.goto(link);
    await page.getByRole('button', { name: 'Sign in to Parallax' }).click();
    await page.getByText('This link does not sign in').waitFor();
    expect(await page.locator('#refused').textContent()).toContain('parallax sign-in');
    expect(await axeFindings(page)).toEqual([]);
    // A new one may be pasted where the old one failed.
    await page.getByLabel('Sign-in link').fill(await scene.signInLink());
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.waitForURL(`${scene.url}/`);
    await context.close();
  });

  test('nobody is sent to another host after signing in', async () => {
    for (const to of ['https://evil.example/', '//evil.example/', '/\\evil.example', 'javascript:alert(1)']) {
      const context = await browser.newContext();
      const page = await context.newPage();
      const link = await scene.signInLink();
      await page.goto(link.replace('#', `?to=${encodeURIComponent(to)}#`));
      await page.getByRole('button', { name: 'Sign in to Parallax' }).click();
      await page.waitForURL(`${scene.url}/`);
      await context.close();
    }
  });
});

/** Walks on by Tab; names the stops whose focus cannot be seen. */
async function focusStops(page: Page, most: number): Promise<{ stops: number; invisible: string[] }> {
  const invisible: string[] = [];
  let stops = 0;
  for (; stops < most; stops += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(() => {
      const at = document.activeElement;
      if (!at || at === document.body) return null;
      const { outlineStyle, outlineWidth } = getComputedStyle(at);
      return {
        name: `${at.tagName} ${at.className}`,
        seen: outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2,
      };
    });
    if (!focused) break;
    if (!focused.seen) invisible.push(focused.name);
  }
  return { stops, invisible };
}
