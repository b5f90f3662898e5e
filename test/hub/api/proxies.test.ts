import { afterAll, beforeAll, expect, test } from 'vitest';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';

let open: HubScene;
let behind: HubScene;
beforeAll(async () => {
  [open, behind] = await Promise.all([
    startHubScene(),
    startHubScene({ trustedProxies: ['127.0.0.0/8'], publicUrl: 'https://hub.test', hosts: ['127.0.0.1'] }),
  ]);
});
afterAll(async () => {
  await open.stop();
  await behind.stop();
});

const forged = {
  'x-forwarded-for': '198.51.100.1',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'evil.example',
  'x-request-id': 'from-the-proxy-1',
  forwarded: 'for=198.51.100.1;proto=https;host=evil.example',
};

async function audited(hub: HubScene): Promise<unknown> {
  const token = await hub.token(['admin']);
  const made = await hub.ask('/api/v1/sign-in-links', { method: 'POST', token, headers: forged });
  expect(made.status).toBe(201);
  const { ip } = await hub.db.one<{ ip: string }>(
    'select remote_ip as ip from audit_log order by id desc limit 1',
  );
  return ip;
}

test('without a trusted proxy nobody is who they write they are', async () => {
  expect(await audited(open)).toBe('127.0.0.1');
  const { headers } = await open.ask('/healthz', { headers: forged });
  expect(headers.get('x-request-id')).not.toBe('from-the-proxy-1');
  expect(headers.get('strict-transport-security')).toBeNull();
});

test('a trusted proxy is believed', async () => {
  expect(await audited(behind)).toBe('198.51.100.1');
  const { headers } = await behind.ask('/sign-in', { headers: forged });
  expect(headers.get('x-request-id')).toBe('from-the-proxy-1');
  expect(headers.get('strict-transport-security')).not.toBeNull();
  expect(behind.logged().some(({ requestId }) => requestId === 'from-the-proxy-1')).toBe(true);
});

test('its request ids are plain words', async () => {
  for (const id of ['short', 'a'.repeat(200), 'with space in it', '"quoted-id-here"']) {
    const { headers } = await behind.ask('/healthz', { headers: { ...forged, 'x-request-id': id } });
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  }
});

test('the figures stay closed to who comes through it, whatever is forged in front', async () => {
  const through = { 'x-forwarded-for': '127.0.0.1, 198.51.100.1' };
  expect(await codeOf(await behind.ask('/metrics', { headers: through }))).toEqual([401, 'auth.required']);
  expect(await codeOf(await behind.ask('/metrics', { headers: { 'x-forwarded-for': '127.0.0.1' } }))).toEqual(
    [401, 'auth.required'],
  );
});

test('an origin is ours by the scheme the browser sees', async () => {
  const signIn = (origin: string, headers: Record<string, string>) =>
    behind.ask('/session', {
      method: 'POST',
      body: '{"secret":"x"}',
      headers: { 'content-type': 'application/json', origin, ...headers },
    });
  expect((await signIn('https://hub.test', forged)).status).toBe(401);
  expect((await signIn('http://hub.test', forged)).status).toBe(403);
  expect((await signIn('https://evil.example', forged)).status).toBe(403);
  expect((await signIn(behind.origin.replace('http:', 'https:'), forged)).status).toBe(401);
});
