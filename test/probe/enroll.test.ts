import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readToken } from '../../probe/hub/enroll.ts';
import type { KeySetDocument } from '../../shared/enrollment.ts';
import { signHubToken } from '../../shared/hub-token.ts';
import { signJws } from '../../shared/jws.ts';
import { keySetType, rootRotationType } from '../../shared/key-set.ts';
import { type FakeHub, startFakeHub, type TestKey, testKey } from './fake-hub.ts';
import { startProbe, tempFolder } from './start-probe.ts';

async function scene() {
  const hub = await startFakeHub();
  const folder = await tempFolder();
  onTestFinished(async () => {
    await hub.close().catch(() => undefined);
    await folder.remove();
  });
  const dataDir = join(folder.path, 'data');
  return {
    hub,
    dataDir,
    start: (token: string | null) => startProbe({ dataDir, token: token === null ? null : { text: token } }),
  };
}

/** Answers an enrollment with a problem. */
function refuse(hub: FakeHub, status: number, code: string, times = Number.POSITIVE_INFINITY): void {
  let left = times;
  hub.intercept = (request, response) => {
    if (request.url !== '/v1/enroll' || left <= 0) return false;
    left -= 1;
    response.writeHead(status).end(JSON.stringify({ code, detail: `it is ${code}` }));
    return true;
  };
}

describe('enrollment', () => {
  test('needs the token once, keeps everything to its owner, and logs no secret', async () => {
    const { hub, dataDir, start } = await scene();
    const token = await hub.token();
    const probe = start(token);
    await probe.said('new assignments in force');
    await probe.stop();
    const again = start(null);
    await again.said('the probe runs');
    await again.stop();
    expect(hub.probes.size).toBe(1);
    expect(hub.requests.filter((line) => line === 'POST /v1/enroll').length).toBeLessThanOrEqual(2);
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
    for (const name of ['key.pem', 'identity.json', 'keyset.json', 'lease.json']) {
      expect((await stat(join(dataDir, name))).mode & 0o777, name).toBe(0o600);
    }
    const key = await readFile(join(dataDir, 'key.pem'), 'utf8');
    for (const secret of [token, token.split('.')[2] ?? '', key.split('\n')[1] ?? '']) {
      expect(probe.text() + again.text()).not.toContain(secret);
    }
    expect(await readdir(dataDir)).not.toContain('lock');
  });

  test('waits for a hub that is away, and tries again where the answer was lost, with the same key', async () => {
    const { hub, start } = await scene();
    const token = await hub.token();
    await hub.close();
    const probe = start(token);
    await probe.said('cannot be reached to enroll');
    await hub.listen();
    let lost = 0;
    hub.intercept = (request) => {
      if (request.url !== '/v1/lease' && request.url !== '/v1/enroll') return false;
      if (request.url !== '/v1/enroll' || lost > 1) return false;
      lost += 1;
      request.socket.destroy();
      return true;
    };
    await probe.said('the probe runs', 20_000);
    await probe.stop();
    expect(lost).toBe(2);
    expect(hub.probes.size).toBe(1);
  });

  test('goes on trying where the hub is in trouble of its own', async () => {
    const { hub, start } = await scene();
    refuse(hub, 503, 'database.away', 1);
    const probe = start(await hub.token());
    await probe.said('the probe runs');
    await probe.stop();
  });

  const refusals: [status: number, code: string, says: RegExp][] = [
    [409, 'enrollment.spent', /token is spent.*new one \(`parallax enroll/],
    [403, 'enrollment.expired', /has expired.*parallax enroll/],
    [403, 'enrollment.revoked', /was revoked.*parallax enroll/],
    [403, 'probe.revoked', /revoked this probe.*empty --data folder/],
    [
      403,
      'x\u001b[2J\n',
      /^the hub refuses to enroll this probe: it is x\ufffd\[2J\ufffd \(x\ufffd\[2J\ufffd\)$/,
    ],
    [401, 'enrollment.invalid', /refuses to enroll this probe: it is enrollment.invalid/],
  ];
  test.each(refusals)('%d %s ends in one line that says what to do', async (status, code, says) => {
    const { hub, start } = await scene();
    refuse(hub, status, code);
    const probe = start(await hub.token());
    await expect(probe.ended).rejects.toThrow(says);
    await expect(probe.ended).rejects.not.toThrow(/\n/);
  });

  test('a hub with another root than the token names gets nothing', async () => {
    const { hub, dataDir, start } = await scene();
    const probe = start(await hub.token({ root: testKey().kid }));
    await expect(probe.ended).rejects.toThrow(/is not the one the token was made by/);
    expect(hub.requests).not.toContain('POST /v1/enroll');
    expect(await readdir(dataDir)).not.toContain('identity.json');
  });

  test('a token of another hub is not sent to this one', async () => {
    const { hub, dataDir } = await scene();
    const token = await hub.token({ iss: 'https://other.example' });
    const probe = startProbe({ dataDir, hub: hub.url, token: { text: token } });
    await expect(probe.ended).rejects.toThrow(/the token is for https:\/\/other.example/);
    expect(hub.requests).not.toContain('POST /v1/enroll');
  });

  test('a key set that its root did not sign is refused', async () => {
    const { hub, start } = await scene();
    const forger = testKey();
    hub.intercept = async (request, response) => {
      if (!request.url?.includes('keyset')) return false;
      const { keyset, chain } = await hub.keySet();
      const [header = '', payload = ''] = keyset.split('.');
      const forged = (
        await signHubToken('revoked+jwt', { iss: '', aud: '', iat: 0, reason: '' }, forger)
      ).split('.');
      response.end(JSON.stringify({ keyset: `${header}.${payload}.${forged[2]}`, chain }));
      return true;
    };
    await expect(start(await hub.token()).ended).rejects.toThrow(/is not the one the token was made by/);
    expect(hub.requests).not.toContain('POST /v1/enroll');
  });

  test('without a token and without an identity it says where tokens come from', async () => {
    const { start } = await scene();
    await expect(start(null).ended).rejects.toThrow(/holds no identity yet: give the enrollment token/);
  });

  test('a token file that is not there is named', async () => {
    const { dataDir } = await scene();
    const probe = startProbe({ dataDir, token: { file: '/nowhere/token' } });
    await expect(probe.ended).rejects.toThrow('--token-file /nowhere/token: there is no such file');
  });

  test('stopped while it waits for the hub it ends quietly', async () => {
    const { hub, start } = await scene();
    const token = await hub.token();
    await hub.close();
    const probe = start(token);
    await probe.said('cannot be reached to enroll');
    await expect(probe.stop()).rejects.toThrow(/abort/i);
  });
});

describe('what is no enrollment token', () => {
  test.each(['', 'px_4f8a', 'a.b.c', 'eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.'])('%j', (text) => {
    expect(() => readToken(text)).toThrow(/this is not an enrollment token/);
  });
});

describe('a folder', () => {
  test('whose identity is there but whose key is gone is not enrolled anew by itself', async () => {
    const { hub, dataDir, start } = await scene();
    const probe = start(await hub.token());
    await probe.said('the probe runs');
    await probe.stop();
    await rm(join(dataDir, 'key.pem'));
    await expect(start(await hub.token()).ended).rejects.toThrow(/key.pem is gone: put it back/);
    expect(hub.probes.size).toBe(1);
  });

  const damages: [file: string, content: string, says: RegExp][] = [
    ['identity.json', '{"probeId":', /identity.json is damaged: delete it/],
    ['identity.json', '{}', /identity.json is damaged/],
    ['key.pem', 'nonsense', /key.pem is damaged: put it back/],
  ];
  test.each(damages)('with %s of %j ends in one line', async (file, content, says) => {
    const { hub, dataDir, start } = await scene();
    const probe = start(await hub.token());
    await probe.said('the probe runs');
    await probe.stop();
    await writeFile(join(dataDir, file), content);
    await expect(start(null).ended).rejects.toThrow(says);
    expect(await readFile(join(dataDir, file), 'utf8')).toBe(content);
  });

  test('whose identity was deleted is the same probe again, with the token it came with', async () => {
    const { hub, dataDir, start } = await scene();
    const token = await hub.token();
    const probe = start(token);
    await probe.said('the probe runs');
    await probe.stop();
    await rm(join(dataDir, 'identity.json'));
    const again = start(token);
    await again.said('the probe runs');
    await again.stop();
    expect(hub.probes.size).toBe(1);
  });

  test.each(['keyset.json', 'lease.json', 'stop.json'])(
    'with a damaged %s goes on: the hub has it',
    async (file) => {
      const { hub, dataDir, start } = await scene();
      const probe = start(await hub.token());
      await probe.said('new assignments in force');
      await probe.stop();
      await writeFile(join(dataDir, file), '{"x');
      const again = start(null);
      const before = hub.requests.length;
      await hub.until(
        () => hub.requests.slice(before).filter((line) => line === 'POST /v1/lease').length >= 2,
      );
      await again.stop();
    },
  );
});

describe('a hub with another public URL', () => {
  test('is followed where its root says so and --hub leads there', async () => {
    const { hub, dataDir, start } = await scene();
    const first = start(await hub.token());
    await first.said('new assignments in force');
    await first.stop();
    hub.url = hub.url.replace('127.0.0.1', 'localhost');
    hub.keySetVersion += 1;
    const moved = startProbe({ dataDir, token: null, hub: hub.url });
    await moved.said('the hub is called otherwise now');
    const asked = hub.requests.length;
    await hub.until(() => hub.requests.slice(asked).filter((line) => line === 'POST /v1/lease').length > 2);
    await moved.stop();
    // From then on without --hub.
    const again = start(null);
    const before = hub.requests.length;
    await again.said('the probe runs');
    await hub.until(() => hub.requests.slice(before).includes('POST /v1/lease'));
    await again.stop();
    expect(JSON.parse(await readFile(join(dataDir, 'identity.json'), 'utf8')).hub).toBe(hub.url);
  });

  test('is not believed on the word of a root that was rotated away', async () => {
    const { hub, dataDir, start } = await scene();
    const first = start(await hub.token());
    await first.said('new assignments in force');
    const next = testKey();
    const jwk = ({ x }: TestKey) => ({ kty: 'OKP', crv: 'Ed25519', x });
    const turn = { from: jwk(hub.root), to: jwk(next), iat: 1 };
    const signed = await Promise.all(
      [hub.root, next].map(async (key) => (await signJws(rootRotationType, turn, key)).split('.')),
    );
    const signatures = signed.map(([head = '', , signature = '']) => ({ protected: head, signature }));
    const payload = signed[0]?.[1] ?? '';
    hub.keySet = async () => {
      const key = { ...jwk(hub.leaseKey), alg: 'Ed25519', kid: hub.leaseKey.kid };
      const claims = { iss: hub.url, root: jwk(next), version: 2, iat: 1, keys: [key] };
      const keyset = await signJws(keySetType, claims, next);
      return { keyset, chain: [{ payload, signatures }] } as KeySetDocument;
    };
    hub.leaseKey = testKey();
    hub.wake();
    const before = first.terms.length;
    await hub.until(() => first.terms.length > before + 1);
    await first.stop();
    // Whoever stole the old root serves what it signed, under a number that is newer than all.
    const thief = await startFakeHub();
    onTestFinished(() => thief.close());
    thief.keySet = async () => {
      const key = { ...jwk(thief.leaseKey), alg: 'Ed25519', kid: thief.leaseKey.kid };
      const claims = { iss: thief.url, root: jwk(hub.root), version: 99, iat: 1, keys: [key] };
      return { keyset: await signJws(keySetType, claims, hub.root), chain: [] };
    };
    const led = startProbe({ dataDir, token: null, hub: thief.url });
    await led.said('what the hub is called now could not be found out');
    await led.stop();
    expect(JSON.parse(await readFile(join(dataDir, 'identity.json'), 'utf8')).hub).toBe(hub.url);
  });

  test('is not believed on the word of another root', async () => {
    const { hub, dataDir, start } = await scene();
    const first = start(await hub.token());
    await first.said('new assignments in force');
    await first.stop();
    const other = await startFakeHub();
    onTestFinished(() => other.close());
    other.keySetVersion = 99;
    const led = startProbe({ dataDir, token: null, hub: other.url });
    await led.said('what the hub is called now could not be found out');
    await led.stop();
    expect(JSON.parse(await readFile(join(dataDir, 'identity.json'), 'utf8')).hub).toBe(hub.url);
    expect(other.probes.size).toBe(0);
  });
});
