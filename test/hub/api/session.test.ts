import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loopbackCookie, sessionCookie } from '../../../hub/api/session-cookie.ts';
import { createSignInLink } from '../../../hub/trust/sign-in.ts';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';

let hub: HubScene;
beforeAll(async () => {
  // A proxy on this machine speaks https for it.
  hub = await startHubScene({ trustedProxies: ['127.0.0.1'], hosts: ['hub.test'] });
});
afterAll(() => hub.stop());

const newSecret = async () => (await createSignInLink(hub.db, hub.keys, hub.origin)).split('#')[1] ?? '';

function signIn(secret: string, headers: Record<string, string> = {}): Promise<Response> {
  return hub.ask('/session', {
    method: 'POST',
    body: JSON.stringify({ secret }),
    headers: { 'content-type': 'application/json', origin: hub.origin, ...headers },
  });
}

/** name -> value of the cookies an answer sets. */
function cookiesOf(response: Response): Map<string, string> {
  return new Map(
    response.headers.getSetCookie().map((cookie) => {
      const [pair = ''] = cookie.split(';');
      return [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
    }),
  );
}

async function signedIn(): Promise<string> {
  const response = await signIn(await newSecret());
  expect(response.status).toBe(204);
  return cookiesOf(response).get(sessionCookie) ?? '';
}

const as = (session: string) => ({ cookie: `${sessionCookie}=${session}` });

describe('the sign-in link', () => {
  test('is printed once, when the hub first starts', async () => {
    const links = hub.said.filter((line) => line.includes('/sign-in#'));
    expect(links).toHaveLength(1);
    const secret = /#([A-Za-z0-9_-]{43})/.exec(links[0] ?? '')?.[1] ?? '';
    expect(JSON.stringify(hub.logged())).not.toContain(secret);
    expect(JSON.stringify(await hub.db.many('select * from sign_in_links'))).not.toContain(secret);
    expect((await signIn(secret)).status).toBe(204);
  });

  test('works once', async () => {
    const secret = await newSecret();
    expect((await signIn(secret)).status).toBe(204);
    expect(await codeOf(await signIn(secret))).toEqual([401, 'sign_in.spent']);
  });

  test('works for one of thirty who come at once', async () => {
    const secret = await newSecret();
    const before = await hub.db.one<{ count: number }>('select count(*) from sessions');
    const answers = await Promise.all(Array.from({ length: 30 }, () => signIn(secret)));
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(29);
    const after = await hub.db.one<{ count: number }>('select count(*) from sessions');
    expect(after.count - before.count).toBe(1);
  });

  test('ends after 15 minutes', async () => {
    const secret = await newSecret();
    const { left } = await hub.db.one<{ left: number }>(
      `select max(extract(epoch from expires_at - now()))::int4 as left from sign_in_links`,
    );
    expect(left).toBeGreaterThan(890);
    expect(left).toBeLessThanOrEqual(900);
    await hub.db.run(
      `update sign_in_links set expires_at = now() - interval '1 second' where used_at is null`,
    );
    expect(await codeOf(await signIn(secret))).toEqual([401, 'sign_in.spent']);
  });

  test('a GET redeems nothing', async () => {
    const secret = await newSecret();
    expect((await hub.ask(`/session?secret=${secret}`)).status).toBe(405);
    await hub.ask('/sign-in');
    expect((await signIn(secret)).status).toBe(204);
  });

  const bodies = [
    '',
    '{}',
    '[]',
    'null',
    '{"secret":1}',
    '{"secret":"x","more":1}',
    `{"secret":"${'x'.repeat(300)}"}`,
  ];
  test.each(bodies)('a body of %s is refused', async (body) => {
    const response = await hub.ask('/session', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', origin: hub.origin },
    });
    expect(await codeOf(response)).toEqual([400, 'request.invalid']);
  });
});

describe('where a change comes from', () => {
  const cases: [what: string, headers: Record<string, string>, taken: boolean][] = [
    ['our own page', { origin: 'OURS', 'sec-fetch-site': 'same-origin' }, true],
    ['our own page, in a browser that tells less', { origin: 'OURS' }, true],
    ['another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, false],
    ['another site that lies of its origin', { origin: 'OURS', 'sec-fetch-site': 'cross-site' }, false],
    ['another port of this machine', { origin: 'http://127.0.0.1:1', 'sec-fetch-site': 'same-site' }, false],
    ['our origin, through a sibling', { origin: 'OURS', 'sec-fetch-site': 'same-site' }, false],
    ['a frame without origin', { origin: 'null', 'sec-fetch-site': 'cross-site' }, false],
    ['nobody who says where', {}, false],
    ['a typed address', { 'sec-fetch-site': 'none' }, false],
    ['our name with more behind', { origin: 'OURS.evil.example' }, false],
    ['https for http', { origin: 'HTTPS' }, false],
  ];
  const real = (headers: Record<string, string>) =>
    Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [
        name,
        value.replace('OURS', hub.origin).replace('HTTPS', hub.origin.replace('http:', 'https:')),
      ]),
    );

  test.each(cases)('%s', async (_, headers, taken) => {
    const session = as(await signedIn());
    const change = (path: string, method: string) =>
      hub.ask(path, {
        method,
        body: JSON.stringify({ name: 'x', scopes: ['read'] }),
        headers: { 'content-type': 'application/json', ...real(headers), ...session },
      });
    const made = await change('/api/v1/tokens', 'POST');
    expect(made.status).toBe(taken ? 201 : 403);
    if (!taken) expect((await codeOf(made))[1]).toBe('origin.foreign');
    expect((await change('/api/v1/tokens/999999', 'DELETE')).status).toBe(taken ? 404 : 403);
    expect((await signIn(await newSecret(), { origin: '', ...real(headers) })).status).toBe(
      taken ? 204 : 403,
    );
    expect(
      (await hub.ask('/session', { method: 'DELETE', headers: { ...session, ...real(headers) } })).status,
    ).toBe(taken ? 204 : 403);
  });

  test('a token needs no origin: no browser sends it by itself', async () => {
    const response = await hub.ask('/api/v1/tokens', {
      method: 'POST',
      token: await hub.token(['admin']),
      body: JSON.stringify({ name: 'x', scopes: ['read'] }),
      headers: { 'content-type': 'application/json', origin: 'https://evil.example' },
    });
    expect(response.status).toBe(201);
  });
});

describe('the session', () => {
  test('is a cookie no script reads, no sibling sets and no other site sends', async () => {
    const response = await signIn(await newSecret(), { 'x-forwarded-proto': 'https', origin: hub.origin });
    const cookies = response.headers.getSetCookie();
    expect(cookies).toHaveLength(1);
    expect(cookies[0]).toMatch(
      /^__Host-parallax=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+; Secure$/,
    );
  });

  test('one that somebody brought along is never made good (fixation)', async () => {
    const planted = 'A'.repeat(43);
    const response = await signIn(await newSecret(), as(planted));
    expect(cookiesOf(response).get(sessionCookie)).not.toBe(planted);
    expect((await hub.ask('/api/v1/tokens', { headers: as(planted) })).status).toBe(401);
    // Signing in anew ends the session before.
    const first = await signedIn();
    expect((await hub.ask('/api/v1/tokens', { headers: as(first) })).status).toBe(200);
    await signIn(await newSecret(), as(first));
    expect((await hub.ask('/api/v1/tokens', { headers: as(first) })).status).toBe(401);
  });

  test('two cookies of one name: neither is believed', async () => {
    const session = await signedIn();
    const cookie = `${sessionCookie}=${'A'.repeat(43)}; ${sessionCookie}=${session}`;
    expect((await hub.ask('/api/v1/tokens', { headers: { cookie } })).status).toBe(401);
  });

  test('the loopback cookie counts on loopback http alone', async () => {
    const session = await signedIn();
    const cookie = { cookie: `${loopbackCookie}=${session}` };
    expect((await hub.ask('/api/v1/tokens', { headers: cookie })).status).toBe(200);
    const https = { ...cookie, 'x-forwarded-proto': 'https' };
    expect((await hub.ask('/api/v1/tokens', { headers: https })).status).toBe(401);
  });

  test('over http to another name nobody signs in, and the link is still good', async () => {
    const secret = await newSecret();
    const { text } = await import('./raw.ts').then(({ sendRaw }) => {
      const body = JSON.stringify({ secret });
      return sendRaw(hub.port, [
        `POST /session HTTP/1.1\r\nHost: hub.test\r\nOrigin: http://hub.test\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      ]);
    });
    expect(text).toContain('session.insecure');
    expect((await signIn(secret)).status).toBe(204);
  });

  test('ends when it is signed out, on this replica at once', async () => {
    const session = await signedIn();
    expect((await hub.ask('/api/v1/tokens', { headers: as(session) })).status).toBe(200);
    const out = await hub.ask('/session', {
      method: 'DELETE',
      headers: { ...as(session), origin: hub.origin },
    });
    expect([out.status, cookiesOf(out).get(sessionCookie)]).toEqual([204, '']);
    expect((await hub.ask('/api/v1/tokens', { headers: as(session) })).status).toBe(401);
    expect(await hub.db.one('select action from audit_log order by id desc limit 1')).toEqual({
      action: 'session.end',
    });
  });

  test('slides while it is used, to thirty days and no further', async () => {
    const age = async (created: string, left: string) => {
      const session = await signedIn();
      await hub.db.run(
        `update sessions set created_at = now() - $1::interval, expires_at = now() + $2::interval
         where created_at = (select max(created_at) from sessions)`,
        [created, left],
      );
      const { status } = await hub.ask('/api/v1/tokens', { headers: as(session) });
      const row = await hub.db.maybeOne<{ days: number }>(
        `select round(extract(epoch from expires_at - now()) / 86400)::int4 as days from sessions
         order by created_at desc limit 1`,
      );
      await hub.db.run('delete from sessions');
      return [status, row?.days];
    };
    expect(await age('1 day', '6 days')).toEqual([200, 7]);
    expect(await age('1 hour', '6 days 23 hours')).toEqual([200, 7]);
    expect(await age('25 days', '1 day')).toEqual([200, 5]);
    expect((await age('2 days', '-1 second'))[0]).toBe(401);
  });

  test('lives in the database as a hash, and its secret in no log', async () => {
    const session = await signedIn();
    await hub.ask('/api/v1/tokens', { headers: as(session) });
    expect(JSON.stringify(await hub.db.many('select * from sessions'))).not.toContain(session);
    expect(JSON.stringify(hub.logged())).not.toContain(session);
  });

  test('pages send whoever has none to sign in', async () => {
    const response = await hub.ask('/');
    expect([response.status, response.headers.get('location')]).toEqual([303, '/sign-in']);
    const inside = await hub.ask('/', { headers: as(await signedIn()) });
    expect(inside.status).toBe(200);
  });
});
