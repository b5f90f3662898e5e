import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../ingest/until.ts';
import { type PageScene, pageScene } from './scene.ts';

let scene: PageScene | undefined;
afterEach(() => scene?.end());

interface Event {
  readonly name: string;
  readonly id: string | undefined;
  readonly data: unknown;
}

/** A stream as a browser reads it; `close` leaves. */
async function listen(
  { url }: PageScene,
  cookie: string,
  query: string,
  headers: Readonly<Record<string, string>> = {},
) {
  const leaving = new AbortController();
  const answer = await fetch(`${url}/events?${query}`, {
    headers: { cookie, ...headers },
    signal: leaving.signal,
  });
  const events: Event[] = [];
  let ended = false;
  const reading = (async () => {
    let text = '';
    for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      for (let at = text.indexOf('\n\n'); at >= 0; at = text.indexOf('\n\n')) {
        const fields = new Map(
          text
            .slice(0, at)
            .split('\n')
            .map((line) => line.split(/: (.*)/s, 2) as [string, string]),
        );
        text = text.slice(at + 2);
        const data = fields.get('data');
        if (data)
          events.push({ name: fields.get('event') ?? '', id: fields.get('id'), data: JSON.parse(data) });
      }
    }
    ended = true;
  })().catch(() => {
    ended = true;
  });
  return {
    answer,
    events,
    named: (name: string) => events.filter((event) => event.name === name),
    ended: () => ended,
    async close() {
      leaving.abort();
      await reading;
    },
  };
}

interface RowUpdate {
  readonly id: number;
  readonly is: string;
  readonly cells: readonly (readonly [number, string])[];
}
const rowsOf = (events: readonly Event[]) => events.flatMap(({ data }) => data as RowUpdate[]);

/** Asks for a stream and takes nothing of it. */
function deafSocket({ url }: PageScene, cookie: string, query: string) {
  const { port } = new URL(url);
  const socket = connect({ port: Number(port), host: '127.0.0.1' });
  socket.pause();
  socket.on('error', () => undefined);
  socket.write(`GET /events?${query} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncookie: ${cookie}\r\n\r\n`);
  return socket;
}

describe('who is not signed in', () => {
  test('is sent to sign in, and hears nothing', async () => {
    scene = await pageScene();
    for (const [path, to] of [
      ['/', '/sign-in'],
      ['/probes', '/sign-in?to=%2Fprobes'],
      ['/?find=a&page=2', '/sign-in?to=%2F%3Ffind%3Da%26page%3D2'],
    ] as const) {
      const answer = await scene.get(path);
      expect([answer.status, answer.headers.get('location')]).toEqual([303, to]);
    }
    expect((await scene.get('/events?rows=1')).status).toBe(401);
    expect((await scene.get('/', 'parallax-loopback=forged')).status).toBe(303);
    const signIn = await scene.get('/sign-in');
    expect(signIn.status).toBe(200);
    expect(signIn.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(signIn.headers.get('content-security-policy')).not.toContain('unsafe');
  });
});

describe('the event stream', () => {
  test('tells a change within a second or so, its own rows only, and resumes after the last event', async () => {
    scene = await pageScene({ everyMs: 50 });
    const [region, other] = [await scene.region('eu-west'), await scene.region('us-east')];
    const [mine, theirs] = ['mine', 'theirs'].map((name) =>
      scene?.endpoint({ name, url: `https://${name}.example/` }),
    ) as [number, number];
    await scene.see({ endpointId: mine, region, ago: 5 }, { endpointId: theirs, region, ago: 5 });
    const cookie = await scene.session();
    const since = /data-version="([^"]+)"/.exec(await (await scene.get('/', cookie)).text())?.[1] ?? '';
    const stream = await listen(scene, cookie, `rows=${mine}&since=${since}`);
    expect(stream.answer.headers.get('content-type')).toContain('text/event-stream');
    await until(() => stream.named('beat').length > 0);
    // Nothing happened since the page was drawn: nothing is sent again.
    expect(stream.named('rows')).toEqual([]);

    await scene.see(
      { endpointId: mine, region: other, ago: 0, failed: 'tls.expired' },
      { endpointId: theirs, region: other, ago: 0 },
    );
    await until(() => stream.named('rows').length > 0);
    const [update] = rowsOf(stream.named('rows'));
    expect(update).toMatchObject({
      id: mine,
      is: 'down',
      cells: [[other.id, expect.stringContaining('expired')]],
    });
    expect(rowsOf(stream.named('rows')).every(({ id }) => id === mine)).toBe(true);
    const { id: last = '' } = stream.named('rows').at(-1) ?? {};
    await stream.close();

    // While nobody listens.
    await scene.see({ endpointId: mine, region, ago: -1, ms: 99 });
    const again = await listen(scene, cookie, `rows=${mine}&since=${since}`, { 'last-event-id': last });
    await until(() => again.named('rows').length > 0);
    expect(rowsOf(again.named('rows'))[0]?.cells.find(([id]) => id === region.id)?.[1]).toContain('99');
    await again.close();

    // What came between the page and its stream is told, and not told again after.
    scene.endpoint({ name: 'newcomer', url: 'https://new.example/' });
    const late = await listen(scene, cookie, `rows=${mine}&since=${since}`);
    await until(() => late.named('cast').length > 0);
    const heard = late.named('beat')[0]?.id ?? '';
    await late.close();
    const later = await listen(scene, cookie, `rows=${mine}&since=${since}`, { 'last-event-id': heard });
    await until(() => later.named('beat').length > 0);
    expect(later.named('cast')).toEqual([]);
    await later.close();

    // From another replica, or from before a restart: everything.
    const foreign = await listen(scene, cookie, `rows=${mine},${theirs}&since=abc.7`);
    await until(() => rowsOf(foreign.named('rows')).length === 2);
    await foreign.close();
  });

  test('a view that goes unseen is told, though nothing came', async () => {
    scene = await pageScene({ everyMs: 50 });
    const region = await scene.region('eu-west');
    const endpointId = scene.endpoint({ name: 'quick', url: 'https://quick.example/', interval: '1s' });
    // 30 s is the least that a result is good for.
    await scene.see({ endpointId, region, ago: 28.5 });
    const cookie = await scene.session();
    const page = await (await scene.get('/', cookie)).text();
    expect(page).toContain('c-region cell up');
    const since = /data-version="([^"]+)"/.exec(page)?.[1] ?? '';
    const stream = await listen(scene, cookie, `rows=${endpointId}&since=${since}`);
    await until(() => stream.named('rows').length > 0);
    expect(rowsOf(stream.named('rows'))[0]).toMatchObject({
      is: 'unknown',
      cells: [[region.id, expect.stringContaining('no view')]],
    });
    await stream.close();
  });

  test('while the hub is behind, what it has not read makes nothing unknown', async () => {
    scene = await pageScene({ everyMs: 50 });
    const region = await scene.region('eu-west');
    const endpointId = scene.endpoint({ name: 'shop', url: 'https://shop.example/', interval: '1s' });
    await scene.see({ endpointId, region, ago: 600 });
    const cookie = await scene.session();
    expect(await (await scene.get('/', cookie)).text()).toContain('c-region cell unknown');
    scene.bus.status = { kind: 'kafka', ready: false, reason: 'no broker answers', lag: null };
    const page = await (await scene.get('/', cookie)).text();
    expect(page).toContain('c-region cell up');
    expect(page).toContain('no broker answers');
  });

  test('at most so many streams; who leaves makes room', async () => {
    scene = await pageScene({ everyMs: 50, maxClients: 2 });
    const cookie = await scene.session();
    const [first, second] = [await listen(scene, cookie, 'rows='), await listen(scene, cookie, 'rows=')];
    const third = await scene.get('/events?rows=', cookie);
    expect(third.status).toBe(503);
    expect(third.headers.get('retry-after')).toBe('30');
    expect(await third.json()).toMatchObject({ code: 'live.full' });
    await first.close();
    await until(async () => {
      const fourth = await scene?.get('/events?rows=', cookie);
      const open = fourth?.status === 200;
      await fourth?.body?.cancel();
      return open;
    });
    await second.close();
  });

  test.each([
    ['not a number', 'rows=1,x'],
    ['below one', 'rows=0'],
    ['more than a page has', `rows=${Array.from({ length: 201 }, (_, index) => index + 1).join(',')}`],
  ])('rows that are %s are refused', async (_, query) => {
    scene = await pageScene();
    const answer = await scene.get(`/events?${query}`, await scene.session());
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ code: 'live.rows' });
  });

  test('who takes nothing is let go; the others go on', async () => {
    scene = await pageScene({ everyMs: 20, maxWaiting: 16 * 1024, stuckMs: 1000, maxClients: 2 });
    const region = await scene.region('eu-west');
    const ids = Array.from({ length: 200 }, (_, index) =>
      scene?.endpoint({ name: `endpoint-${index}`, url: 'https://many.example/' }),
    ) as number[];
    const cookie = await scene.session();
    const deaf = deafSocket(scene, cookie, `rows=${ids.join(',')}&since=`);
    const reader = await listen(scene, cookie, `rows=${ids[1]}`);
    const full = async () => {
      const answer = await scene?.get('/events?rows=', cookie);
      await answer?.body?.cancel();
      return answer?.status === 503;
    };
    await until(full);
    let at = 0;
    // The kernel's own buffers take some megabytes before anything waits here.
    await until(async () => {
      at += 1;
      await scene?.see(...ids.map((endpointId) => ({ endpointId, region, ago: -at / 1000, ms: at })));
      return !(await full());
    }, 25_000);
    await scene.see({ endpointId: ids[1] ?? 0, region, ago: -at / 1000 - 1, ms: 54_321 });
    await until(() => reader.events.some((event) => JSON.stringify(event).includes('54 s')));
    deaf.destroy();
    await reader.close();
  }, 60_000);

  test('streams end when the hub stops', async () => {
    scene = await pageScene({ everyMs: 50 });
    const stream = await listen(scene, await scene.session(), 'rows=');
    const began = performance.now();
    await scene.end();
    scene = undefined;
    await until(stream.ended);
    expect(performance.now() - began).toBeLessThan(1500);
  });
});

describe('assets', () => {
  test('are kept for ever under their hash; an old address is no page', async () => {
    scene = await pageScene();
    const page = await (await scene.get('/sign-in')).text();
    const hrefs = [...page.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(([, href = '']) => href);
    expect(hrefs.map((href) => href.replace(/-[0-9a-f]{12}/, ''))).toEqual([
      '/assets/tab.svg',
      '/assets/pages.css',
      '/assets/pages.js',
    ]);
    for (const href of hrefs) {
      const answer = await scene.get(href);
      expect(answer.status).toBe(200);
      expect(answer.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
      expect(await answer.text()).not.toMatch(/https?:\/\/(?!www\.w3\.org)/);
    }
    const old = await scene.get('/assets/pages-000000000000.js');
    expect(old.status).toBe(404);
    expect(old.headers.get('content-type')).toContain('application/problem+json');
  });
});

describe('an operator of one region', () => {
  test('sees its columns, its endpoints and its probes alone', async () => {
    scene = await pageScene({ everyMs: 50 });
    const [eu, us] = [await scene.region('eu-west'), await scene.region('us-east')];
    const both = scene.endpoint({ name: 'both', url: 'https://both.example/' });
    const far = scene.endpoint({ name: 'far-away', url: 'https://far.example/', regions: ['us-east'] });
    await scene.see(
      { endpointId: both, region: eu, ago: 1 },
      { endpointId: both, region: us, ago: 1, failed: 'connect.refused' },
      { endpointId: far, region: us, ago: 1 },
    );
    const token = await scene.token(['read'], ['eu-west']);
    const get = async (path: string) =>
      (await scene?.get(path, undefined, { authorization: `Bearer ${token}` }))?.text();
    for (const path of ['/', '/probes']) {
      const page = await get(path);
      expect(page).toContain('eu-west');
      expect(page).not.toMatch(/us-east|far-away|>refused</);
    }
    const stream = await listen(scene, '', `rows=${both},${far}&since=`, {
      authorization: `Bearer ${token}`,
    });
    await until(() => stream.named('rows').length > 0);
    expect(JSON.stringify(stream.events)).not.toMatch(/us-east|refused/);
    expect(rowsOf(stream.named('rows')).map(({ id }) => id)).toEqual([both]);
    await stream.close();
  });
});
