import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Scope } from '../../../hub/api/operator.ts';
import type { HubKafkaConfig } from '../../../hub/config.ts';
import { rotateKeys } from '../../../hub/trust/rotate-keys.ts';
import { verifyHubToken } from '../../../shared/hub-token.ts';
import type { KafkaTokenAnswer } from '../../../shared/kafka-token.ts';
import { verifyKeySet } from '../../../shared/key-set.ts';
import { newKey, publicUrl, type TrustScene, trustScene } from '../trust/scene.ts';

let hub: TrustScene;
beforeAll(async () => {
  const probes = {
    brokers: ['b:1'],
    auth: 'oauthbearer',
    tls: true,
    ca: null,
    tokenTtlSeconds: 600,
  } as const;
  hub = await trustScene({ kafka: { probes } as unknown as HubKafkaConfig });
});
afterAll(() => hub.end());

interface Listed {
  readonly enrollments: { jti: string; state: string; used: number; region: string }[];
  readonly probes: { id: number; name: string; region: string; status: string }[];
  readonly regions: { name: string; active: number; pending: number }[];
  readonly cursor: string | null;
}

describe('enrollments', () => {
  test('a token says what was asked for, and is in no list, log or table', async () => {
    const { status, content } = await hub.api<{ token: string; jti: string; expiresAt: string }>(
      'POST',
      '/api/v1/enrollments',
      { region: 'eu-west', uses: 3, ttl: '10m', approve: true },
    );
    expect(status).toBe(201);
    const claims = await verifyHubToken(content.token, hub.keys.leaseKeys, {
      typ: 'enroll+jwt',
      issuer: publicUrl,
    });
    expect(claims).toMatchObject({
      jti: content.jti,
      region: 'eu-west',
      uses: 3,
      approve: true,
      root: hub.keys.rootThumbprint,
    });
    expect(claims.exp - claims.iat).toBe(600);
    expect(Date.parse(content.expiresAt)).toBe(claims.exp * 1000);
    const list = await hub.api('GET', '/api/v1/enrollments');
    const [signature = ''] = content.token.split('.').slice(-1);
    expect(JSON.stringify(list.content)).not.toContain(signature);
    const rows = await hub.db.many(
      'select e::text from enrollments e union all select a::text from audit_log a',
    );
    expect(JSON.stringify(rows)).not.toContain(signature);
  });

  test.each([
    [{}, 'region'],
    [{ region: 'EU West' }, 'region'],
    [{ region: '../x' }, 'region'],
    [{ region: 'a', uses: 0 }, 'uses'],
    [{ region: 'a', uses: 1.5 }, 'uses'],
    [{ region: 'a', ttl: '2d' }, 'ttl'],
    [{ region: 'a', ttl: 'soon' }, 'ttl'],
    [{ region: 'a', use: 2 }, ''],
  ])('%j is refused with its field', async (body, path) => {
    const { status, code, content } = await hub.api<{ errors: { path: string }[] }>(
      'POST',
      '/api/v1/enrollments',
      body,
    );
    expect([status, code, content.errors[0]?.path]).toEqual([400, 'request.invalid', path]);
  });

  test('the list goes page by page, newest first, and says what became of each', async () => {
    const made: string[] = [];
    for (let index = 0; index < 5; index += 1)
      made.unshift((await hub.mint({ region: 'paged', ttl: '1m' })).jti);
    const spent = await hub.mint({ region: 'paged', ttl: '1h' });
    await hub.enroll(newKey(), spent.token);
    await hub.api('DELETE', `/api/v1/enrollments/${made[0]}`);
    hub.later = 61_000;
    const seen: { jti: string; state: string }[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const from: string = cursor && `&cursor=${cursor}`;
      const { content } = await hub.api<Listed>('GET', `/api/v1/enrollments?limit=2${from}`);
      seen.push(...content.enrollments);
      cursor = content.cursor;
    }
    hub.later = 0;
    const states = seen.slice(0, 6).map(({ jti, state }) => [jti, state]);
    expect(states).toEqual([
      [spent.jti, 'spent'],
      [made[0], 'revoked'],
      ...made.slice(1).map((jti) => [jti, 'expired']),
    ]);
    expect(new Set(seen.map(({ jti }) => jti)).size).toBe(seen.length);
  });

  test('to revoke twice is to revoke once; to revoke none is 404', async () => {
    const { jti } = await hub.mint({ region: 'eu-west' });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect((await hub.api('DELETE', `/api/v1/enrollments/${jti}`)).status).toBe(204);
    }
    const log = await hub.db.many('select 1 from audit_log where action = $1 and subject = $2', [
      'enrollment.revoke',
      `enrollment:${jti}`,
    ]);
    expect(log).toHaveLength(1);
    const none = await hub.api('DELETE', '/api/v1/enrollments/7d444840-9dc0-11d1-b245-5ffdce74fad2');
    expect([none.status, none.code]).toEqual([404, 'enrollment.unknown']);
    expect((await hub.api('DELETE', '/api/v1/enrollments/x')).status).toBe(400);
  });
});

describe('who may what', () => {
  let id: number;
  let jti: string;
  beforeAll(async () => {
    const minted = await hub.mint({ region: 'eu-west' });
    jti = minted.jti;
    id = (await hub.enroll(newKey(), minted.token)).content.probeId;
  });
  const calls = (): [method: string, path: string, body: unknown, least: Scope][] => [
    ['POST', '/api/v1/enrollments', { region: 'eu-west' }, 'admin'],
    ['DELETE', `/api/v1/enrollments/${jti}`, undefined, 'admin'],
    ['POST', `/api/v1/probes/${id}/approve`, undefined, 'admin'],
    ['POST', `/api/v1/probes/${id}/revoke`, {}, 'admin'],
    ['GET', '/api/v1/enrollments', undefined, 'read'],
    ['GET', '/api/v1/probes', undefined, 'read'],
    ['GET', `/api/v1/probes/${id}`, undefined, 'read'],
    ['GET', '/api/v1/regions', undefined, 'read'],
  ];
  test('nobody without a token or session; no scope below the one it takes; no region of others', async () => {
    for (const [method, path, body, least] of calls()) {
      expect((await hub.api(method, path, body, null)).code, path).toBe('auth.required');
      for (const scope of ['read', 'write'] as const) {
        const { code, status } = await hub.api(method, path, body, { scopes: [scope] });
        if (least === 'admin') expect([code, path]).toEqual(['auth.scope', path]);
        else expect([status, path]).toEqual([200, path]);
      }
      const { code, content } = await hub.api<Listed>(method, path, body, { regions: ['elsewhere'] });
      if (code !== null) expect([code, path]).toEqual(['auth.region', path]);
      else expect([content.enrollments ?? content.probes ?? content.regions, path]).toEqual([[], path]);
    }
    expect((await hub.api<{ status: string }>('GET', `/api/v1/probes/${id}`)).content.status).toBe('active');
  });
});

describe('probes and regions', () => {
  test('the list has what a probe last said of itself, by page, region and status', async () => {
    const { token } = await hub.mint({ region: 'listed', uses: 3 });
    const waits = await hub.mint({ region: 'listed', approve: true });
    const ids: number[] = [];
    for (const name of ['one', 'two', 'three'])
      ids.unshift((await hub.enroll(newKey(), token, { name })).content.probeId);
    ids.unshift((await hub.enroll(newKey(), waits.token, { name: 'four' })).content.probeId);
    await hub.db.run(
      `insert into probe_presence values ($1, now(), 7, now() + interval '6 hours', 'm', 500, 1200, 0, 4096, '0.1.0', 'node 24')`,
      [ids[1]],
    );
    const list = async (query: string) => (await hub.api<Listed>('GET', `/api/v1/probes?${query}`)).content;
    expect((await list('region=listed')).probes.map(({ name }) => name)).toEqual([
      'four',
      'three',
      'two',
      'one',
    ]);
    expect((await list('region=listed&status=pending')).probes.map(({ id }) => id)).toEqual([ids[0]]);
    const first = await list('region=listed&limit=3');
    const rest = await list(`region=listed&limit=3&cursor=${first.cursor}`);
    expect([...first.probes, ...rest.probes].map(({ id }) => id)).toEqual(ids);
    expect(rest.cursor).toBeNull();
    const [, seen, unseen] = (await list('region=listed')).probes;
    expect(seen).toMatchObject({
      leaseVersion: 7,
      capacity: 500,
      noiseUs: 1200,
      spoolBytes: 4096,
      trusted: true,
    });
    expect(seen).toMatchObject({ seenAt: expect.stringMatching(/^\d{4}-.*Z$/) });
    expect(unseen).toMatchObject({ seenAt: null, leaseVersion: null });
    expect(Object.keys(seen ?? {})).not.toContain('mac');
    const { content } = await hub.api<Listed>('GET', '/api/v1/regions');
    expect(content.regions.find(({ name }) => name === 'listed')).toMatchObject({ active: 3, pending: 1 });
  });

  test.each(['0', '-1', 'x', '9'.repeat(30)])('probe %s is no id', async (id) => {
    expect((await hub.api('GET', `/api/v1/probes/${id}`)).status).toBe(400);
  });

  test('an id that is none is 404', async () => {
    for (const [method, path] of [
      ['GET', '/api/v1/probes/999999'],
      ['POST', '/api/v1/probes/999999/approve'],
      ['POST', '/api/v1/probes/999999/revoke'],
    ] as const) {
      const { status, code } = await hub.api(method, path);
      expect([status, code]).toEqual([404, 'probe.unknown']);
    }
  });

  test('what an operator did is in the audit log, with who and from where', async () => {
    const { token } = await hub.mint({ region: 'eu-west', approve: true });
    const { probeId } = (await hub.enroll(newKey(), token)).content;
    await hub.api('POST', `/api/v1/probes/${probeId}/approve`);
    await hub.api('POST', `/api/v1/probes/${probeId}/approve`);
    await hub.api('POST', `/api/v1/probes/${probeId}/revoke`, { reason: 'the host was sold' });
    const log = await hub.db.many(
      'select actor, action, after, remote_ip from audit_log where subject = $1 order by id',
      [`probe:${probeId}`],
    );
    expect(log.slice(1)).toEqual([
      { actor: 'token:test', action: 'probe.approve', after: { status: 'active' }, remote_ip: '192.0.2.1' },
      {
        actor: 'token:test',
        action: 'probe.revoke',
        after: { status: 'revoked', reason: 'the host was sold' },
        remote_ip: '192.0.2.1',
      },
    ]);
  });
});

describe('the hub’s public keys', () => {
  const get = (path: string, headers: Record<string, string> = {}) =>
    hub.fetch(`/.well-known/${path}`, { headers });

  test('hold no private part, and verify what the hub signs', async () => {
    for (const path of ['parallax-keyset.json', 'jwks.json', 'kafka-jwks.json']) {
      const text = await (await get(path)).text();
      expect(text).not.toMatch(/"d"/);
    }
    const jwks = (await (await get('jwks.json')).json()) as { keys: { kid: string; alg: string }[] };
    expect(jwks.keys).toMatchObject([{ kid: hub.keys.lease.kid, alg: 'Ed25519', use: 'sig' }]);
    const trusted = await verifyKeySet(
      await (await get('parallax-keyset.json')).json(),
      hub.keys.rootThumbprint,
    );
    expect(trusted.keys.map(({ kid }) => kid)).toEqual(jwks.keys.map(({ kid }) => kid));
  });

  test('are asked about by ETag, which changes when they do', async () => {
    for (const path of ['parallax-keyset.json', 'jwks.json', 'kafka-jwks.json']) {
      const etag = (await get(path)).headers.get('etag') ?? '';
      for (const known of [etag, `W/${etag}`, `"x", ${etag}`]) {
        expect((await get(path, { 'if-none-match': known })).status).toBe(304);
      }
      expect((await get(path, { 'if-none-match': '"x"' })).status).toBe(200);
    }
    const before = (await get('parallax-keyset.json')).headers.get('etag') ?? '';
    const pinned = hub.keys.rootThumbprint;
    await rotateKeys({ dir: hub.keysDir, lease: true, root: true, now: () => Date.now() * 1000 });
    expect(await hub.reloadKeys()).toBe(true);
    const after = await get('parallax-keyset.json', { 'if-none-match': before });
    expect(after.status).toBe(200);
    const trusted = await verifyKeySet(await after.json(), pinned);
    expect(trusted.keys[0]?.kid).toBe(hub.keys.lease.kid);
    // A token from before the rotation still lets its probe in.
    expect(trusted.keys).toHaveLength(2);
  });

  test('a token minted before the lease key was rotated still enrolls', async () => {
    const { token } = await hub.mint({ region: 'eu-west' });
    await rotateKeys({ dir: hub.keysDir, lease: true, now: () => Date.now() * 1000 });
    await hub.reloadKeys();
    expect((await hub.enroll(newKey(), token)).status).toBe(200);
    const stolen = await hub.mint({ region: 'eu-west' });
    await rotateKeys({ dir: hub.keysDir, lease: true, dropOld: true, now: () => Date.now() * 1000 });
    await hub.reloadKeys();
    expect((await hub.enroll(newKey(), stolen.token)).code).toBe('enrollment.invalid');
  });
});

describe('a token for Kafka', () => {
  test('is a JWT of ten minutes for this probe, which the JWKS verifies', async () => {
    const key = newKey();
    const { probeId } = (await hub.enroll(key, (await hub.mint({ region: 'eu-west' })).token)).content;
    const answer = await hub.signed(key, '/v1/kafka-token');
    const { token, expiresAt, ttlSeconds } = answer.content as unknown as KafkaTokenAnswer;
    expect(ttlSeconds).toBe(600);
    const jwks = await (await hub.fetch('/.well-known/kafka-jwks.json')).json();
    const { payload } = await jwtVerify(
      token,
      createLocalJWKSet(jwks as Parameters<typeof createLocalJWKSet>[0]),
      {
        issuer: publicUrl,
        audience: 'kafka',
        algorithms: ['ES256'],
      },
    );
    expect(payload).toMatchObject({ sub: `probe-${probeId}`, exp: expiresAt });
    // Of whole seconds, never shorter than is said.
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(601);
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'ES256', typ: 'JWT', kid: hub.keys.kafka.kid });
  });

  test('is for active probes alone, and only where the hub has such a Kafka', async () => {
    const waits = newKey();
    await hub.enroll(waits, (await hub.mint({ region: 'eu-west', approve: true })).token);
    expect((await hub.signed(waits, '/v1/kafka-token')).code).toBe('probe.pending');
    expect((await hub.signed(newKey(), '/v1/kafka-token')).code).toBe('probe.unknown');
    expect((await hub.signed(waits, '/v1/kafka-token', { proof: null })).code).toBe('proof.missing');
    const other = await trustScene({ beside: hub });
    try {
      const key = newKey();
      await other.enroll(key, (await other.mint({ region: 'eu-west' })).token);
      const { status, code } = await other.signed(key, '/v1/kafka-token');
      expect([status, code]).toEqual([404, 'kafka.no_tokens']);
    } finally {
      await other.end();
    }
  });
});
