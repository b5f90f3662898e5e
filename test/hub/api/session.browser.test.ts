import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { loopbackCookie, sessionCookie } from '../../../hub/api/session-cookie.ts';
import { createSignInLink } from '../../../hub/trust/sign-in.ts';
import { type HubScene, startHubScene } from '../hub-scene.ts';
import { chromiumPath, launchBrowser } from '../web/browser.ts';

if (!chromiumPath)
  console.warn('\n  SKIPPED: there is no Chromium, so nobody sees whether browsers keep a session\n');

describe.skipIf(!chromiumPath)('a session in a browser', () => {
  let hub: HubScene;
  let browser: Browser;
  let context: BrowserContext;
  beforeAll(async () => {
    [hub, browser] = await Promise.all([startHubScene(), launchBrowser()]);
  });
  beforeEach(async () => {
    context = await browser.newContext();
  });
  afterAll(async () => {
    await browser?.close();
    await hub?.stop();
  });

  async function signIn(origin: string): Promise<number> {
    const secret = (await createSignInLink(hub.db, hub.keys, origin)).split('#')[1] ?? '';
    const page = await context.newPage();
    await page.goto(`${origin}/sign-in`);
    const status = await page.evaluate(async (secret) => {
      const answer = await fetch('/session', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ secret }),
      });
      return answer.status;
    }, secret);
    await page.close();
    return status;
  }

  const isIn = async (origin: string) => {
    const page = await context.newPage();
    const response = await page.goto(`${origin}/`);
    const at = new URL(page.url()).pathname;
    await page.close();
    return response?.status() === 200 && at === '/';
  };

  // Chromium keeps Secure cookies of loopback http: the prefix holds there too.
  test.each(['127.0.0.1', 'localhost'])('is kept under its __Host- name on http://%s', async (name) => {
    const origin = `http://${name}:${hub.port}`;
    expect(await isIn(origin)).toBe(false);
    expect(await signIn(origin)).toBe(204);
    const cookies = await context.cookies(origin);
    expect(cookies.map((cookie) => cookie.name).sort()).toEqual([sessionCookie, loopbackCookie].sort());
    for (const cookie of cookies) expect([cookie.httpOnly, cookie.sameSite]).toEqual([true, 'Strict']);
    await context.clearCookies({ name: loopbackCookie });
    expect(await isIn(origin)).toBe(true);
    await context.clearCookies({ name: sessionCookie });
    expect(await isIn(origin)).toBe(false);
  });

  test('the loopback cookie alone keeps a session too, as Safari would', async () => {
    await signIn(hub.origin);
    await context.clearCookies({ name: sessionCookie });
    expect(await isIn(hub.origin)).toBe(true);
  });

  test.each(['127.0.0.1', 'localhost'])(
    'a page on another port of %s can change nothing with it',
    async (name) => {
      await signIn(hub.origin);
      const server = createServer((_, response) =>
        response.setHeader('content-type', 'text/html').end('<h1>evil</h1>'),
      );
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
      const page = await context.newPage();
      await page.goto(`http://${name}:${(server.address() as AddressInfo).port}/`);
      const before = await hub.db.one('select count(*) from api_tokens');
      await page.evaluate(async (hub) => {
        const body = JSON.stringify({ name: 'stolen', scopes: ['admin'] });
        const headers = { 'content-type': 'text/plain' };
        // The answer is kept from the page, and whatever was asked is refused.
        await fetch(`${hub}/api/v1/tokens`, {
          method: 'POST',
          mode: 'no-cors',
          credentials: 'include',
          body,
          headers,
        }).catch(() => null);
      }, hub.origin);
      await page.evaluate((hub) => {
        const form = document.createElement('form');
        Object.assign(form, { method: 'post', action: `${hub}/api/v1/sign-in-links`, enctype: 'text/plain' });
        document.body.append(form);
        form.submit();
      }, hub.origin);
      await page.waitForURL(`${hub.origin}/**`);
      expect(await page.textContent('body')).toMatch(/origin\.foreign|auth\.required/);
      expect(await hub.db.one('select count(*) from api_tokens')).toEqual(before);
      await page.close();
      await new Promise((done) => server.close(done));
    },
  );
});
