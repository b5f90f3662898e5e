import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Browser, Locator } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Evidence, sealEvidence } from '../../../shared/evidence.ts';
import { axeFindings, chromiumPath, launchBrowser, overflow, signedIn } from './browser.ts';
import { type PageRegion, type PageScene, pageScene } from './scene.ts';

const script = '<script>alert(1)</script>';
const image = '"><img src=x onerror=alert(2)>';
const override = 'exe.\u202egnp';
const hostileEvidence: Evidence = {
  request: {
    method: 'GET',
    url: `https://shop.example/?q=${image}`,
    headers: [
      ['authorization', '•••'],
      ['x-evil', image],
    ],
    bodyBytes: 12,
  },
  response: {
    status: 500,
    headers: [
      ['server', script],
      ['x-long', 'w'.repeat(290)],
      ['x-override', override],
    ],
    body: `<!doctype html></pre></div><svg onload=alert(3)>${'line\n'.repeat(200)}`,
  },
  certificates: [
    { subject: `CN=${script}`, issuer: `O=${image}`, notAfter: 1_790_000_000, sha256: 'ab'.repeat(32) },
    { subject: 'CN=root', issuer: 'CN=root', notAfter: 99_999_999_999_999, sha256: 'cd'.repeat(32) },
  ],
  addresses: ['203.0.113.7', '2001:db8::7'],
  address: '203.0.113.7:443',
  resolver: '192.0.2.53',
  phase: 'wait',
  errno: 'ECONNRESET',
  traceId: '0af7651916cd43dd8448eb211c80319c',
};

/** As a person reads it. */
const textOf = async (place: Locator) => (await place.allInnerTexts()).join(' ');

describe.skipIf(!chromiumPath)('the page of an endpoint in a browser', () => {
  let browser: Browser;
  let scene: PageScene;
  let cookie: string;
  let here: PageRegion;
  let there: PageRegion;
  let shop = 0;
  let quiet = 0;

  beforeAll(async () => {
    [browser, scene] = await Promise.all([launchBrowser(), pageScene({ everyMs: 200 })]);
    cookie = await scene.session();
    here = await scene.region('eu-west');
    there = await scene.region('us-east');
    shop = scene.endpoint({
      name: `shop ${'a'.repeat(90)}`,
      url: 'https://shop.example/health',
      tags: { team: image },
    });
    quiet = scene.endpoint({ name: 'quiet', url: 'https://quiet.example/' });
    const tls = {
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      notAfter: 1_830_000_000,
      issuer: `O=${script}`,
      fingerprint: 'ef'.repeat(32),
    };
    await scene.see(
      ...Array.from({ length: 6 }, (_, index) => ({
        endpointId: shop,
        region: here,
        ago: 40 + 30 * index,
        more: {
          tls,
          timings: { dns: 2100, connect: 4000, tls: 5400, wait: 42_000, transfer: 3400, total: 57_000 },
        },
      })),
      { endpointId: shop, region: there, ago: 35, suspect: true, ms: 90 },
      {
        endpointId: shop,
        region: there,
        ago: 65,
        more: {
          facts: {
            rcode: 'NOERROR',
            answers: [
              { type: 'TXT', data: script },
              { type: 'TXT', data: override },
            ],
            lossPercent: 20,
            banner: image,
          },
        },
      },
      {
        endpointId: shop,
        region: here,
        ago: 10,
        failed: 'request.reset',
        message: image,
        ms: 120,
        more: {
          attempts: 3,
          firstFailure: 'connect.timeout',
          timings: { dns: 2100, connect: 4000, tls: 5400, wait: null, transfer: null, total: 120_000 },
          evidence: sealEvidence(hostileEvidence),
        },
      },
    );
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await scene?.end();
  });

  const open = async (path: string, options: Parameters<typeof signedIn>[3] = {}) => {
    const { context, complaints } = await signedIn(browser, scene.url, cookie, options);
    const page = await context.newPage();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(`${scene.url}${path}`);
    return { page, context, complaints, asked };
  };

  test.each(
    [320, 390, 1440].flatMap((width) =>
      (['light', 'dark'] as const).map((scheme) => [width, scheme] as const),
    ),
  )(
    '%i px, %s, all opened: nothing sticks out, axe finds nothing, strangers stay inert, no other host is asked',
    async (width, scheme) => {
      // Each page once narrow and light, once wide and dark; the fullest of them in all.
      const others = ['/endpoints/999', '/check', `/check?endpoint=${shop}`, `/endpoints/${quiet}`];
      const all = (width === 320) === (scheme === 'light') && width !== 390;
      const pages = [`/endpoints/${shop}`, ...(all ? others : [])];
      for (const path of pages) {
        const { page, context, complaints, asked } = await open(path);
        await page.setViewportSize({ width, height: 900 });
        await page.emulateMedia({ colorScheme: scheme });
        await page.evaluate(() => {
          for (const details of document.querySelectorAll('details')) details.open = true;
        });
        if (process.env.PARALLAX_PICTURES) {
          mkdirSync(process.env.PARALLAX_PICTURES, { recursive: true });
          const name = `${path.slice(1).replaceAll(/\W+/g, '-')}-${scheme}-${width}.png`;
          await page.screenshot({ path: join(process.env.PARALLAX_PICTURES, name), fullPage: true });
        }
        expect(await overflow(page), path).toBe(0);
        expect(await axeFindings(page), path).toEqual([]);
        expect(await page.locator('main img, main script, main [onload], main [onerror]').count()).toBe(0);
        const [notFound] = path === '/endpoints/999' ? [complaints.pop()] : [''];
        if (notFound) expect(notFound).toContain('404');
        expect(complaints, path).toEqual([]);
        expect(asked.filter((url) => new URL(url).origin !== scene.url)).toEqual([]);
        await context.close();
      }
    },
    90_000,
  );

  test('a failure stands open: in words, with its phases, whose fault it is and what was seen of it', async () => {
    const { page, context } = await open(`/endpoints/${shop}`);
    const failed = page.locator('details.down').first();
    const text = (await textOf(failed)).replace(/\s+/g, ' ');
    expect(text).toContain('The connection is reset before an answer.');
    expect(text).toContain(image);
    expect(text).toContain(
      'The first attempt failed otherwise: no connection comes about in time connect.timeout',
    );
    expect(text).toContain('Phases of the deciding attempt, 3 of 3');
    // What the deadline or the peer cut took the rest; what comes after was not reached.
    expect(text).toMatch(
      /dns 2\.1 ms connect 4\.0 ms tls 5\.4 ms wait 109 ms transfer not reached total 120 ms/,
    );
    expect(await textOf(failed.locator('.blame .fault'))).toContain('target');
    const kept = page.locator('section', { hasText: 'Evidence of failures' }).last();
    await kept.locator('summary').click();
    const seen = await textOf(kept);
    for (const piece of [
      'x-evil',
      image,
      script,
      '<!doctype html></pre>',
      'ECONNRESET',
      '203.0.113.7:443',
      '192.0.2.53',
      hostileEvidence.traceId ?? '',
      'ab'.repeat(32),
    ])
      expect(seen).toContain(piece);
    expect(seen).toContain('exe.\ufffdgnp');
    const heights = await kept
      .locator('pre')
      .evaluateAll((pieces) => pieces.map((piece) => piece.getBoundingClientRect().height));
    expect(Math.max(...heights)).toBeLessThanOrEqual(300);
    await context.close();
  });

  test('a suspect result says what that means; facts of the protocol are told', async () => {
    const { page, context } = await open(`/endpoints/${shop}?region=us-east`);
    expect(await page.locator('.results details').count()).toBe(2);
    const [suspect, told] = [
      page.locator('.results details').nth(0),
      page.locator('.results details').nth(1),
    ];
    expect(await textOf(suspect.locator('summary .seen'))).toContain('~up');
    await suspect.locator('summary').click();
    await suspect.getByText("the probe's own noise or network may have spoilt it").waitFor();
    await told.locator('summary').click();
    const text = await textOf(told);
    for (const piece of ['rcode NOERROR', 'loss 20%', script, image, 'exe.\ufffdgnp'])
      expect(text).toContain(piece);
    expect(text).toContain('203.0.113.7, IPv4');
    await context.close();
  });

  test('reached from the matrix, read and opened by the keyboard alone, and without JavaScript', async () => {
    const { page, context } = await open('/');
    await page.locator(`.row[data-id="${shop}"] a`).click();
    await page.waitForURL(`${scene.url}/endpoints/${shop}`);
    const line = page.locator('.results details').nth(3);
    await line.locator('summary').focus();
    await page.keyboard.press('Enter');
    expect(await line.getAttribute('open')).not.toBeNull();
    await context.close();

    const bare = await open(`/endpoints/${shop}`, { javaScriptEnabled: false });
    const failed = bare.page.locator('details.down').first();
    expect(await failed.locator('.fall').isVisible()).toBe(true);
    await failed.locator('summary').click();
    expect(await failed.locator('.fall').isVisible()).toBe(false);
    await bare.page.getByRole('link', { name: 'us-east' }).click();
    expect(await bare.page.locator('.results details').count()).toBe(2);
    await bare.context.close();
  });

  test('who may see one region sees that one alone; who is not signed in comes back here', async () => {
    const headers = { authorization: `Bearer ${await scene.token(['read'], ['us-east'])}` };
    const html = await (await scene.get(`/endpoints/${shop}`, undefined, headers)).text();
    expect(html).toContain('us-east');
    expect(html).not.toContain('eu-west');
    expect(html).not.toContain('Evidence</h4>');
    expect(html).toContain('None in the last 7 days.');
    expect(html).not.toContain('Check now');
    const away = await scene.get(`/endpoints/${shop}`);
    expect(away.headers.get('location')).toBe(`/sign-in?to=%2Fendpoints%2F${shop}`);
  });

  test('the first load is under 60 kB, compressed', async () => {
    const { page, context, asked } = await open(`/endpoints/${shop}`);
    await page.waitForLoadState('networkidle');
    let bytes = 0;
    for (const url of asked.filter((each) => !each.includes('/events'))) {
      const answer = await fetch(url, { headers: { cookie } });
      bytes += gzipSync(Buffer.from(await answer.arrayBuffer())).length;
    }
    expect(bytes).toBeGreaterThan(5000);
    expect(bytes).toBeLessThan(60_000);
    await context.close();
  });
});
