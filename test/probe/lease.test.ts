import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { signHubToken } from '../../shared/hub-token.ts';
import { keySetPath } from '../../shared/key-set.ts';
import type { LeaseClaims } from '../../shared/lease.ts';
import { shardOf } from '../../shared/slot.ts';
import { until } from '../hub/ingest/until.ts';
import { type FakeHub, startFakeHub, testKey } from './fake-hub.ts';
import { assign, endpoint, type StartedProbe, startProbe, startTarget, tempFolder } from './start-probe.ts';

let hub: FakeHub;
let target: Awaited<ReturnType<typeof startTarget>>;
let dataDir = '';

beforeEach(async () => {
  hub = await startFakeHub();
  target = await startTarget();
  const folder = await tempFolder();
  dataDir = join(folder.path, 'data');
  onTestFinished(async () => {
    await hub.close().catch(() => undefined);
    await target.close();
    await folder.remove();
  });
});

function restart(): StartedProbe {
  const probe = startProbe({ dataDir });
  onTestFinished(() => probe.stop().catch(() => undefined));
  return probe;
}

/** A probe that has enrolled and checks one endpoint each second. */
async function checking(): Promise<StartedProbe> {
  assign(hub, endpoint(1, `${target.url}/a`));
  const probe = startProbe({ dataDir, token: { text: await hub.token() } });
  onTestFinished(() => probe.stop().catch(() => undefined));
  await probe.said('new assignments in force');
  await probe.resulted(1);
  return probe;
}

/** What the hub answers to the next requests for a lease, in place of its own. */
function answerLeases(make: () => Promise<object>): void {
  hub.intercept = async (request, response) => {
    if (request.url !== '/v1/lease') return false;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(await make()));
    return true;
  };
  hub.wake();
}

const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

function claims(over: Partial<LeaseClaims> = {}): LeaseClaims {
  const now = hub.nowUs();
  return {
    iss: hub.url,
    aud: String(hub.probe().id),
    region: { id: 7, name: 'eu-west' },
    version: Date.now() + 1_000_000,
    manifest: 'f'.repeat(64),
    durable: [],
    kafka: null,
    jobs: [],
    lingerMs: 1000,
    now,
    iat: Math.floor(now / 1_000_000),
    exp: Math.floor(now / 1_000_000) + 3600,
    ...over,
  };
}

describe('a lease that is not to be believed', () => {
  const lies: [what: string, make: () => Promise<object>, says: string][] = [
    ['one of before', async () => ({ lease: await signed({ version: 1 }) }), 'is not newer than'],
    ['of another probe', async () => ({ lease: await signed({ aud: '999' }) }), 'this is for another probe'],
    [
      'of another hub',
      async () => ({ lease: await signed({ iss: 'https://other.example' }) }),
      'not by http',
    ],
    [
      'of another region',
      async () => ({ lease: await signed({ region: { id: 8, name: 'us' } }) }),
      "not this probe's",
    ],
    [
      'that has run out',
      async () => ({ lease: await signed({ exp: Math.floor(hub.nowUs() / 1_000_000) - 1 }) }),
      'has run out',
    ],
    [
      'signed by a stranger',
      async () => ({ lease: await signHubToken('lease+jwt', claims(), testKey()) }),
      'is not known here',
    ],
    [
      'without a signature',
      async () => ({ lease: `${base64({ alg: 'none', typ: 'lease+jwt' })}.${base64(claims())}.` }),
      'not a compact JWS',
    ],
    [
      'with another algorithm',
      async () => ({
        lease: `${base64({ alg: 'HS256', typ: 'lease+jwt', kid: hub.leaseKey.kid })}.${base64(claims())}.${'A'.repeat(86)}`,
      }),
      'algorithm',
    ],
    ['with a key of its own', async () => embedded(), 'the header has jwk'],
    ['that is an enrollment token', async () => ({ lease: await hub.token() }), 'the type is not lease+jwt'],
    ['that is not there', async () => ({}), 'without a lease'],
    ['that is not JSON at all', async () => 'x' as unknown as object, 'is not a lease'],
  ];
  const signed = (over: Partial<LeaseClaims>) => signHubToken('lease+jwt', claims(over), hub.leaseKey);
  function embedded(): object {
    const stranger = testKey();
    const header = base64({
      alg: 'Ed25519',
      typ: 'lease+jwt',
      kid: stranger.kid,
      jwk: { kty: 'OKP', crv: 'Ed25519', x: stranger.x },
    });
    return { lease: `${header}.${base64(claims())}.${'A'.repeat(86)}` };
  }

  test.each(lies)('%s changes nothing: it goes on as before and says why', async (_what, make, says) => {
    const probe = await checking();
    const before = probe.terms.length;
    answerLeases(make);
    await probe.said(says);
    const count = probe.results.length;
    await probe.resulted(count + 2);
    // One that was under way when the lies began may have been true.
    expect(probe.terms.length).toBeLessThanOrEqual(before + 1);
    expect(Math.max(...probe.terms.map(({ leaseVersion }) => leaseVersion))).toBeLessThanOrEqual(
      hub.probe().version,
    );
    hub.intercept = () => false;
    await probe.said('the hub answers again');
  });
});

describe('assignments', () => {
  test('whose bytes are not what the lease named are not used', async () => {
    const probe = await checking();
    hub.intercept = (request, response) => {
      if (!request.url?.startsWith('/v1/assignments/')) return false;
      response.end('{"probeId":100,"regionId":7,"shards":[]}');
      return true;
    };
    assign(hub, endpoint(2, `${target.url}/b`));
    await probe.said('whose bytes are not');
    const count = probe.results.length;
    await probe.resulted(count + 2);
    expect(target.hits.has('/b')).toBe(false);
    hub.intercept = () => false;
    await hub.until(() => target.hits.has('/b'));
  });

  test('only what changed is fetched', async () => {
    const probe = await checking();
    const other = [2, 3, 4, 5].find((id) => shardOf(id) !== shardOf(1)) ?? 2;
    const before = hub.requests.length;
    assign(hub, endpoint(other, `${target.url}/b`));
    await hub.until(() => target.hits.has('/b'));
    const fetched = hub.requests.slice(before).filter((line) => line.includes('/v1/assignments/'));
    // The manifest and the one shard.
    expect(fetched.length).toBe(2);
    expect(probe.results.filter(({ endpointId }) => endpointId === 1).length).toBeGreaterThan(0);
  });

  test('an endpoint that this version cannot read blinds none of the others', async () => {
    const probe = await checking();
    const strange = { ...endpoint(2, 'x'), expect: { vibes: 'good' } } as never;
    assign(hub, strange, endpoint(3, `${target.url}/c`));
    await probe.said('cannot read an endpoint');
    await hub.until(() => target.hits.has('/c'));
    // Nor is it passed over in silence.
    await until(() => probe.results.some(({ endpointId }) => endpointId === 2));
    expect(probe.results.find(({ endpointId }) => endpointId === 2)).toMatchObject({
      outcome: 'skipped',
      failure: {
        code: 'probe.unable',
        message: 'this probe is too old for the endpoint: it has to be updated',
      },
    });
  });
});

describe('time', () => {
  test('a machine whose clock is an hour off keeps the hub’s slots', async () => {
    hub.aheadUs = 3600 * 1_000_000;
    const probe = await checking();
    await probe.resulted(3);
    // The first slot is one made up for; it may end after the next.
    const slots = probe.results.toSorted((a, b) => a.scheduledAt - b.scheduledAt);
    for (const { scheduledAt, startedAt, lateBy } of slots.slice(1)) {
      expect(Math.abs(startedAt - hub.nowUs())).toBeLessThan(30 * 1_000_000);
      expect(lateBy).toBe(startedAt - scheduledAt);
      expect(lateBy).toBeLessThan(500_000);
    }
  });

  test('under a lease that runs out it stops, says so, and goes on when the hub gives another', async () => {
    hub.leaseSeconds = 5;
    const probe = await checking();
    hub.intercept = (request) => {
      if (request.url !== '/v1/lease') return false;
      request.socket.destroy();
      return true;
    };
    await probe.said('the lease has run out');
    const count = probe.results.length;
    const hits = target.hits.get('/a')?.length ?? 0;
    await new Promise((done) => setTimeout(done, 2500));
    expect(probe.results.length).toBeLessThanOrEqual(count + 1);
    expect((target.hits.get('/a')?.length ?? 0) - hits).toBeLessThanOrEqual(1);
    hub.intercept = () => false;
    hub.leaseSeconds = 3600;
    await probe.resulted(count + 3, 20_000);
  });
});

describe('a probe that starts while the hub is away', () => {
  test('goes on under the lease it kept, until that runs out', async () => {
    hub.leaseSeconds = 6;
    const probe = await checking();
    await probe.stop();
    await hub.close();
    const again = restart();
    await again.said('going on under the lease kept here');
    await again.resulted(2);
    await again.said('the hub cannot be reached');
    await again.said('the lease has run out');
    const all = [...probe.results, ...again.results].map(({ scheduledAt }) => scheduledAt);
    expect(new Set(all).size).toBe(all.length);
  });

  test('does not where a part of it is missing', async () => {
    const probe = await checking();
    await probe.stop();
    await hub.close();
    await rm(join(dataDir, 'assignments'), { recursive: true });
    const again = restart();
    await again.said('the hub cannot be reached');
    expect(again.results).toEqual([]);
    await hub.listen();
    await again.resulted(1, 15_000);
  });

  test('does not under a lease that another key signed', async () => {
    const probe = await checking();
    await probe.stop();
    await hub.close();
    await rm(join(dataDir, 'keyset.json'));
    const again = restart();
    await again.said('the lease kept on disk is not used');
    await again.said('the hub cannot be reached');
    expect(again.results).toEqual([]);
  });

  test('repeats no slot where its clock was set back a little meanwhile', async () => {
    const probe = await checking();
    await probe.stop();
    const upTo = hub.nowUs() + 3_000_000;
    await writeFile(join(dataDir, 'stop.json'), JSON.stringify({ upTo }));
    const again = restart();
    await again.resulted(2);
    for (const { scheduledAt } of again.results) expect(scheduledAt).toBeGreaterThan(upTo);
  });

  test('misses no slot over a restart, and repeats none', async () => {
    const probe = await checking();
    await probe.resulted(2);
    await probe.stop();
    const again = restart();
    await again.resulted(3);
    const slots = [...probe.results, ...again.results]
      .filter(({ kind }) => kind === 'slot')
      .map(({ scheduledAt }) => scheduledAt)
      .toSorted((a, b) => a - b);
    for (const [index, at] of slots.entries())
      if (index > 0) expect(at - (slots[index - 1] ?? 0)).toBe(1_000_000);
  });
});

describe('a probe that was gone for longer than the hub waits', () => {
  /** Checked, was stopped 20 s ago, and its shards are another's by now. */
  async function gone(): Promise<void> {
    hub.aheadUs = -20_000_000;
    const probe = await checking();
    await probe.stop();
    const file = join(dataDir, 'lease.json');
    const kept = JSON.parse(await readFile(file, 'utf8')) as { receivedAt: number };
    await writeFile(file, JSON.stringify({ ...kept, receivedAt: kept.receivedAt - 20_000 }));
    await rm(join(dataDir, 'stop.json'), { force: true });
    hub.aheadUs = 0;
    hub.probe().entries = [];
    target.hits.clear();
  }

  test('asks for its shards before it checks them again', async () => {
    await gone();
    hub.intercept = async (request) => {
      if (request.url === '/v1/lease') await wait(2500);
      return false;
    };
    const again = restart();
    await again.said('going on under the lease kept here');
    await again.said('new assignments in force');
    expect(again.results).toEqual([]);
    expect([...target.hits]).toEqual([]);
  });

  test('nor while what the hub gives it now still loads', async () => {
    await gone();
    assign(hub, endpoint(2, `${target.url}/b`));
    hub.giveAll(hub.probe());
    hub.probe().entries = hub.probe().entries.filter(({ shard }) => shard === shardOf(2));
    hub.intercept = async (request) => {
      if (request.url?.startsWith('/v1/assignments/')) await wait(3000);
      return false;
    };
    const again = restart();
    await again.said('new assignments in force');
    expect([...target.hits.keys()]).not.toContain('/a');
    await again.resulted(1);
    expect([...target.hits.keys()]).toEqual(['/b']);
  });

  test('checks them at once where the hub is away', async () => {
    await gone();
    await hub.close();
    await restart().resulted(2, 4000);
  });

  test('checks them after 5 s where the hub does not answer', async () => {
    await gone();
    hub.intercept = (request) => request.url === '/v1/lease';
    await restart().resulted(2, 9000);
  });
});

describe('keys', () => {
  test('that cannot be renewed keep no lease from being taken', async () => {
    const probe = await checking();
    await probe.stop();
    hub.intercept = (request, response) => {
      if (request.url !== keySetPath) return false;
      response.writeHead(404).end();
      return true;
    };
    const again = restart();
    await again.said('going on with those known');
    await hub.until(() => again.terms.length > 2);
    hub.leaseKey = testKey();
    hub.wake();
    await again.said('the hub answered 404 where its keys should be');
  });

  test('that the hub rotated are fetched when a lease is signed with a new one', async () => {
    const probe = await checking();
    hub.leaseKey = testKey();
    hub.keySetVersion = 2;
    hub.wake();
    const before = probe.terms.length;
    await hub.until(() => probe.terms.length > before + 1);
  });

  test('of an older key set than the one seen are not taken', async () => {
    const probe = await checking();
    hub.keySetVersion = 2;
    hub.leaseKey = testKey();
    hub.wake();
    const before = probe.terms.length;
    await hub.until(() => probe.terms.length > before + 1);
    hub.keySetVersion = 1;
    hub.leaseKey = testKey();
    hub.wake();
    await probe.said('is older than 2');
  });
});

describe('a probe that the hub wants no more', () => {
  test('stops, wipes its cache, says so, and does not come back by itself', async () => {
    const probe = await checking();
    hub.probe().status = 'revoked';
    hub.wake();
    await expect(probe.ended).rejects.toThrow(/the hub has revoked this probe \(stolen\)/);
    expect(await readdir(join(dataDir, 'assignments'))).toEqual([]);
    expect(await readdir(dataDir)).not.toContain('lease.json');
    const asked = hub.requests.length;
    await expect(restart().ended).rejects.toThrow(/the hub revoked this probe on .*\(stolen\)/);
    expect(hub.requests.length).toBe(asked);
  });

  test('a revocation of another probe, or one that a stranger signed, changes nothing', async () => {
    const probe = await checking();
    const word = { iss: hub.url, aud: '999', iat: 0, reason: 'x' };
    answerLeases(async () => ({ revoked: await signHubToken('revoked+jwt', word, hub.leaseKey) }));
    await probe.said('this is for another probe');
    answerLeases(async () => ({
      revoked: await signHubToken('revoked+jwt', { ...word, aud: '100' }, testKey()),
    }));
    await probe.said('is not known here');
    const count = probe.results.length;
    await probe.resulted(count + 2);
  });

  test('one that waits for approval checks nothing until it has it', async () => {
    const token = await hub.token();
    assign(hub, endpoint(1, `${target.url}/a`));
    hub.newStatus = 'pending';
    const probe = startProbe({ dataDir, token: { text: token } });
    onTestFinished(() => probe.stop().catch(() => undefined));
    await probe.said('parallax probes approve 100');
    expect(probe.results).toEqual([]);
    hub.probe().status = 'active';
    await probe.resulted(1, 15_000);
  });
});

test('jobs are run once, as confirmations, however often the lease repeats them', async () => {
  const probe = await checking();
  const at = hub.nowUs();
  hub.bendClaims = (one) => ({
    ...one,
    jobs: [
      { kind: 'confirm', endpointId: 1, scheduledAt: at },
      { kind: 'confirm', endpointId: 77, scheduledAt: at },
    ],
  });
  hub.wake();
  const before = probe.terms.length;
  await hub.until(() => probe.terms.length > before + 3);
  const confirms = probe.results.filter(({ kind }) => kind === 'confirm');
  expect(confirms).toMatchObject([{ endpointId: 1, scheduledAt: at, outcome: 'up' }]);
});
