import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { signHubToken } from '../../../shared/hub-token.ts';
import { signProof } from '../../../shared/request-proof.ts';
import { newKey, publicUrl, type TrustScene, trustScene } from './scene.ts';

let hub: TrustScene;
beforeAll(async () => {
  hub = await trustScene();
});
afterAll(() => hub.end());

const usesOf = async (jti: string) =>
  (await hub.db.one<{ used: number }>('select used from enrollments where jti = $1', [jti])).used;
const alarms = (jti: string) =>
  hub.db.many('select 1 from audit_log where action = $1 and subject = $2', [
    'alarm.enrollment_spent',
    `enrollment:${jti}`,
  ]);

describe('enrollment', () => {
  test('a token and a key make a probe in the region of the token, known at once', async () => {
    const key = newKey();
    const { jti, token } = await hub.mint({ region: 'eu-west' });
    const { status, content } = await hub.enroll(key, token);
    expect(status).toBe(200);
    expect(content).toMatchObject({ region: { name: 'eu-west' }, status: 'active' });
    expect(await usesOf(jti)).toBe(1);
    expect((await hub.signed(key, '/v1/echo/a')).content).toEqual({ probe: content.probeId });
    const log = await hub.db.many<{ action: string; actor: string }>(
      'select action, actor from audit_log where subject in ($1, $2) order by id',
      [`enrollment:${jti}`, `probe:${content.probeId}`],
    );
    expect(log).toEqual([
      { action: 'enrollment.create', actor: 'token:test' },
      { action: 'probe.enroll', actor: `probe:${content.probeId}` },
    ]);
  });

  test('a retry after a lost answer is the same enrollment: after spending, expiry and revocation too', async () => {
    const key = newKey();
    const { jti, token } = await hub.mint({ region: 'eu-west', ttl: '1m' });
    const first = await hub.enroll(key, token);
    const again = await hub.enroll(key, token);
    await hub.api('DELETE', `/api/v1/enrollments/${jti}`);
    hub.later = 120_000;
    const late = await hub.enroll(key, token);
    hub.later = 0;
    expect([again.content, late.content]).toEqual([first.content, first.content]);
    expect(await usesOf(jti)).toBe(1);
  });

  test('another key on a spent token is refused, recorded once a minute, and lets nobody in', async () => {
    const { jti, token } = await hub.mint({ region: 'eu-west' });
    await hub.enroll(newKey(), token);
    const before = await hub.db.one<{ count: number }>('select count(*) from probes');
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const thief = await hub.enroll(newKey(), token);
      expect([thief.status, thief.code]).toEqual([409, 'enrollment.spent']);
    }
    expect(await hub.db.one('select count(*) from probes')).toEqual(before);
    expect(await alarms(jti)).toHaveLength(1);
    expect(await usesOf(jti)).toBe(1);
  });

  test('50 keys at once on a token of 20 uses: 20 come in', async () => {
    const { jti, token } = await hub.mint({ region: 'crowd', uses: 20 });
    const answers = await Promise.all(Array.from({ length: 50 }, () => hub.enroll(newKey(), token)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(20);
    expect(answers.filter(({ code }) => code === 'enrollment.spent')).toHaveLength(30);
    const ids = answers.flatMap(({ content, status }) => (status === 200 ? content.probeId : []));
    expect(new Set(ids).size).toBe(20);
    expect(await usesOf(jti)).toBe(20);
    expect(await alarms(jti)).toHaveLength(1);
  });

  test('one key at once in ten requests, and with two tokens, is one probe and one use', async () => {
    const key = newKey();
    const [one, other] = await Promise.all([
      hub.mint({ region: 'crowd', uses: 9 }),
      hub.mint({ region: 'crowd', uses: 9 }),
    ]);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => hub.enroll(key, index % 2 ? one.token : other.token)),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(new Set(answers.map(({ content }) => content.probeId)).size).toBe(1);
    expect((await usesOf(one.jti)) + (await usesOf(other.jti))).toBe(1);
  });

  test('a token without possession of the key is worth nothing', async () => {
    const [victim, thief] = [newKey(), newKey()];
    const { jti, token } = await hub.mint({ region: 'eu-west' });
    const body = JSON.stringify({ token, key: victim.jwk, name: 'x', version: '1', runtime: 'x' });
    // Signed by another key, under its own name and under the victim's.
    expect((await hub.signed(thief, '/v1/enroll', { body })).code).toBe('probe.unknown');
    const forged = { ...thief, kid: victim.kid };
    expect((await hub.signed(forged, '/v1/enroll', { body })).code).toBe('proof.invalid');
    expect((await hub.signed(thief, '/v1/enroll', { body, proof: null })).code).toBe('proof.missing');
    // A proof that the victim made for another body.
    const nonce = await hub.nonce();
    const theirs = { htm: 'POST', htu: `${publicUrl}/v1/enroll`, bh: 'A'.repeat(43), nonce };
    const proof = await signProof(victim.privateKey, victim.kid, theirs);
    expect((await hub.signed(thief, '/v1/enroll', { body, proof })).code).toBe('proof.invalid');
    expect(await usesOf(jti)).toBe(0);
  });

  test('expired and revoked tokens are refused', async () => {
    const short = await hub.mint({ region: 'eu-west', ttl: '1m' });
    hub.later = 61_000;
    const late = await hub.enroll(newKey(), short.token);
    hub.later = 0;
    expect([late.status, late.code]).toEqual([403, 'enrollment.expired']);
    const { jti, token } = await hub.mint({ region: 'eu-west' });
    expect((await hub.api('DELETE', `/api/v1/enrollments/${jti}`)).status).toBe(204);
    const revoked = await hub.enroll(newKey(), token);
    expect([revoked.status, revoked.code]).toEqual([403, 'enrollment.revoked']);
  });

  test('what somebody writes into the row makes a token worth no more than was signed', async () => {
    const spent = await hub.mint({ region: 'eu-west' });
    await hub.enroll(newKey(), spent.token);
    await hub.db.run('update enrollments set uses = 100 where jti = $1', [spent.jti]);
    expect((await hub.enroll(newKey(), spent.token)).code).toBe('enrollment.spent');
    const old = await hub.mint({ region: 'eu-west', ttl: '1m' });
    await hub.db.run("update enrollments set expires_at = now() + interval '1 year' where jti = $1", [
      old.jti,
    ]);
    hub.later = 61_000;
    expect((await hub.enroll(newKey(), old.token)).code).toBe('enrollment.expired');
    hub.later = 0;
    const waits = await hub.mint({ region: 'eu-west', approve: true });
    await hub.db.run('update enrollments set approve = false where jti = $1', [waits.jti]);
    expect((await hub.enroll(newKey(), waits.token)).content.status).toBe('pending');
    const other = await hub.mint({ region: 'eu-west' });
    await hub.db.run(
      `update enrollments set region_id = (select id from regions where name = 'crowd') where jti = $1`,
      [other.jti],
    );
    expect((await hub.enroll(newKey(), other.token)).content.region.name).toBe('eu-west');
  });

  test('a key that is enrolled stays in its region', async () => {
    const key = newKey();
    const first = await hub.enroll(key, (await hub.mint({ region: 'eu-west' })).token);
    const moved = await hub.enroll(key, (await hub.mint({ region: 'elsewhere' })).token);
    expect([moved.status, moved.code]).toEqual([409, 'enrollment.other_region']);
    const same = await hub.mint({ region: 'eu-west' });
    expect((await hub.enroll(key, same.token)).content).toEqual(first.content);
    expect(await usesOf(same.jti)).toBe(0);
  });

  const claims = () => ({
    iss: publicUrl,
    jti: '7d444840-9dc0-11d1-b245-5ffdce74fad2',
    region: 'eu-west',
    uses: 1,
    approve: false,
    root: hub.keys.rootThumbprint,
    iat: Math.floor(Date.now() / 1000),
    exp: Math.floor(Date.now() / 1000) + 60,
  });
  const now = Math.floor(Date.now() / 1000);
  const tokens: [what: string, make: () => Promise<string> | string, code: string][] = [
    ['never minted here', () => signHubToken('enroll+jwt', claims(), hub.keys.lease), 'enrollment.unknown'],
    [
      'of another hub',
      () => signHubToken('enroll+jwt', { ...claims(), iss: 'https://other.example' }, hub.keys.lease),
      'enrollment.invalid',
    ],
    [
      'of another key',
      () => signHubToken('enroll+jwt', claims(), { ...newKey(), kid: hub.keys.lease.kid }),
      'enrollment.invalid',
    ],
    ['of a key nobody knows', () => signHubToken('enroll+jwt', claims(), newKey()), 'enrollment.invalid'],
    [
      'that is a revocation',
      () => signHubToken('revoked+jwt', { iss: publicUrl, aud: '1', iat: now, reason: '' }, hub.keys.lease),
      'enrollment.invalid',
    ],
    ['that is no JWS', () => 'plx_something', 'enrollment.invalid'],
  ];
  test.each(tokens)('a token %s is refused', async (_, make, code) => {
    expect((await hub.enroll(newKey(), await make())).code).toBe(code);
  });

  test.each([
    ['', 400],
    ['a'.repeat(101), 400],
    ['new\nline', 400],
    ['nul\0', 400],
    ['\u202egnp.exe', 400],
    ['Büro 3 · 東京', 200],
  ])('a probe named %j answers %i', async (name, status) => {
    const { token } = await hub.mint({ region: 'eu-west' });
    expect((await hub.enroll(newKey(), token, { name })).status).toBe(status);
  });

  test('a body that is too large or no JSON is refused before anything is verified', async () => {
    const large = await hub.signed(newKey(), '/v1/enroll', { body: 'x'.repeat(20_000) });
    expect([large.status, large.code]).toEqual([413, 'request.too_large']);
    const odd = await hub.signed(newKey(), '/v1/enroll', { body: '{' });
    expect([odd.status, odd.code]).toEqual([400, 'request.invalid']);
  });
});

describe('approval and revocation', () => {
  test('a probe that needs approval waits, then works', async () => {
    const key = newKey();
    const { token } = await hub.mint({ region: 'eu-west', approve: true });
    const { content } = await hub.enroll(key, token);
    expect(content.status).toBe('pending');
    const waits = await hub.signed(key, '/v1/echo/a');
    expect([waits.status, waits.code]).toEqual([403, 'probe.pending']);
    const approved = await hub.api<{ status: string; trusted: boolean }>(
      'POST',
      `/api/v1/probes/${content.probeId}/approve`,
    );
    expect(approved.content).toMatchObject({ status: 'active', trusted: true });
    expect((await hub.signed(key, '/v1/echo/a')).status).toBe(200);
    expect((await hub.enroll(key, token)).content.status).toBe('active');
  });

  test('a revoked probe is refused here at once and by another replica within a second, for good', async () => {
    const key = newKey();
    const { token } = await hub.mint({ region: 'eu-west' });
    const { content } = await hub.enroll(key, token);
    const other = await trustScene({ beside: hub });
    try {
      expect((await other.signed(key, '/v1/echo/a')).status).toBe(200);
      const { status } = await hub.api('POST', `/api/v1/probes/${content.probeId}/revoke`, {
        reason: 'sold',
      });
      expect(status).toBe(200);
      expect((await hub.signed(key, '/v1/echo/a')).code).toBe('probe.revoked');
      await expect
        .poll(async () => (await other.signed(key, '/v1/echo/a')).code, { timeout: 1000, interval: 20 })
        .toBe('probe.revoked');
    } finally {
      await other.end();
    }
    const back = await hub.api('POST', `/api/v1/probes/${content.probeId}/approve`);
    expect([back.status, back.code]).toEqual([409, 'probe.revoked']);
    expect((await hub.enroll(key, token)).code).toBe('probe.revoked');
  });

  test('a probe that enrolled at one replica is known at another by its first request', async () => {
    const other = await trustScene({ beside: hub });
    try {
      const key = newKey();
      await hub.enroll(key, (await hub.mint({ region: 'eu-west' })).token);
      expect((await other.signed(key, '/v1/echo/a')).status).toBe(200);
    } finally {
      await other.end();
    }
  });
});
