import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSession } from '../../../hub/trust/sessions.ts';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';

/** One who can only write to the database makes no operator of himself, nor of a small token a large one. */
let hub: HubScene;
beforeAll(async () => {
  hub = await startHubScene();
});
afterAll(() => hub.stop());

const sha256 = (text: string) => createHash('sha256').update(text).digest();
const secret = () => randomBytes(32).toString('base64url');
const tokensSeen = (token: string) => hub.ask('/api/v1/tokens', { token });

test('a token put there by SQL is none', async () => {
  const token = `plx_${secret()}`;
  const mac = (await hub.db.maybeOne<{ mac: Buffer }>('select mac from api_tokens limit 1'))?.mac;
  await hub.db.run(
    `insert into api_tokens (name, hash, scopes, created_by, mac) values ('thief', $1, '{admin}', 'thief', $2)`,
    [sha256(token), mac ?? randomBytes(32)],
  );
  expect(await codeOf(await tokensSeen(token))).toEqual([401, 'auth.invalid']);
  const { tokens } = (await (await tokensSeen(await hub.token(['admin']))).json()) as {
    tokens: { name: string; state: string }[];
  };
  expect(tokens.find(({ name }) => name === 'thief')?.state).toBe('untrusted');
  expect(tokens.some((one) => 'mac' in one || 'hash' in one)).toBe(false);
});

test.each([
  ['its scopes', `scopes = '{admin}'`],
  ['its regions', 'regions = null'],
  ['its end', `expires_at = now() + interval '1 year'`],
  ['its name', `name = 'somebody else'`],
])('a token of which SQL changed %s is none', async (_, change) => {
  const token = await hub.token(['read'], ['eu-west'], new Date(Date.now() + 3_600_000));
  expect((await hub.ask('/api/v1/regions', { token })).status).toBe(200);
  await hub.db.run(`update api_tokens set ${change} where id = (select max(id) from api_tokens)`);
  // What was looked up is believed for two seconds.
  await expect
    .poll(async () => codeOf(await hub.ask('/api/v1/regions', { token })), { timeout: 5000 })
    .toEqual([401, 'auth.invalid']);
});

test('a sign-in link put there by SQL signs nobody in', async () => {
  const own = secret();
  await hub.db.run(
    `insert into sign_in_links (hash, expires_at) values ($1, now() + interval '10 minutes')`,
    [sha256(own)],
  );
  const answer = await hub.ask('/session', {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: hub.origin },
    body: JSON.stringify({ secret: own }),
  });
  expect(await codeOf(answer)).toEqual([401, 'sign_in.spent']);
});

test('a session put there by SQL, or given more scopes, is none', async () => {
  const asked = (value: string) =>
    hub.ask('/api/v1/tokens', { headers: { cookie: `parallax-loopback=${value}` } });
  const own = secret();
  await hub.db.run(
    `insert into sessions (hash, actor, scopes, expires_at, mac)
     values ($1, 'session:thief', '{admin}', now() + interval '1 day', $2)`,
    [sha256(own), randomBytes(32)],
  );
  expect((await asked(own)).status).toBe(401);
  const small = await createSession(hub.db, hub.keys, { actor: 'session:small', scopes: ['read'] });
  await hub.db.run(`update sessions set scopes = '{admin}' where actor = 'session:small'`);
  expect((await asked(small)).status).toBe(401);
  const whole = await createSession(hub.db, hub.keys, { actor: 'session:whole', scopes: ['admin'] });
  expect((await asked(whole)).status).toBe(200);
});
