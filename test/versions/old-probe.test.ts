import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { IncomingBatch } from '../../hub/ingest/bus.ts';
import { verifyBatch } from '../../hub/ingest/verify.ts';
import { assignmentOf } from '../../hub/trust/assignment-of.ts';
import type { RegisteredProbe } from '../../hub/trust/registry.ts';
import { openSpool } from '../../probe/spool/open-spool.ts';
import { defaultSpoolLimits } from '../../probe/spool/spool.ts';
import { shardDocumentSchema } from '../../shared/assignment.ts';
import { decodeBatch, type SealedBatch } from '../../shared/batch.ts';
import { commonBatchSchema, currentBatchSchema } from '../../shared/batch-schema.ts';
import { parseEndpointFile } from '../../shared/endpoint-document.ts';
import { enrollRequestSchema } from '../../shared/enrollment.ts';
import { leaseClaimsSchema, leaseRequestSchema } from '../../shared/lease.ts';
import { compareVersions, oldestProbe } from '../../shared/probe-versions.ts';
import { batchFromRelay } from '../../shared/relay.ts';
import { bodyHash, verifyProof } from '../../shared/request-proof.ts';
import { ed25519PublicKey, ed25519Thumbprint, verifyBytes } from '../../shared/signing.ts';
import { type LeaseProbe, type LeaseScene, leaseScene } from '../hub/trust/lease-scene.ts';
import { identity, quiet } from '../probe/spool/scene.ts';

const folder = join(import.meta.dirname, '../shared/recorded/probe-0.1');

interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface Exchanges {
  readonly version: string;
  readonly hub: string;
  readonly region: { readonly id: number; readonly name: string };
  readonly probeId: number;
  readonly publicKey: string;
  readonly enroll: Recorded & { readonly body: object };
  readonly leases: readonly (Recorded & { readonly body: object; readonly claims: object })[];
  readonly assignmentRequest: Recorded;
  readonly assignments: readonly { readonly endpoints: readonly Record<string, unknown>[] }[];
  readonly batches: readonly (Recorded & { readonly value: string })[];
}

const said = JSON.parse(await readFile(join(folder, 'exchanges.json'), 'utf8')) as Exchanges;
const publicKey = ed25519PublicKey(said.publicKey);
const kid = ed25519Thumbprint(said.publicKey);

describe('what a probe of 0.1 sends is read by this hub', () => {
  const bytesOf = (body: object) => Buffer.from(JSON.stringify(body));
  test.each<[string, Recorded, Uint8Array]>([
    ['its enrollment', said.enroll, bytesOf(said.enroll.body)],
    ...said.leases.map((one): [string, Recorded, Uint8Array] => ['for a lease', one, bytesOf(one.body)]),
    ['for assignments', said.assignmentRequest, new Uint8Array()],
    ...said.batches.map((one): [string, Recorded, Uint8Array] => [
      'with results',
      one,
      Buffer.from(one.value, 'base64'),
    ]),
  ])('the proof of a request %s', async (_, { method, path, headers }, body) => {
    const { claims } = await verifyProof(headers['parallax-proof'] ?? '', (id) =>
      id === kid ? publicKey : undefined,
    );
    expect(claims).toMatchObject({ htm: method, htu: `${said.hub}${path}`, bh: bodyHash(body) });
  });

  test('its enrollment and its requests for a lease', () => {
    expect(enrollRequestSchema.parse(said.enroll.body)).toEqual(said.enroll.body);
    for (const { body } of said.leases) expect(leaseRequestSchema.parse(body)).toMatchObject(body);
  });

  test('its batches, every result of them', () => {
    const probe: RegisteredProbe = {
      id: said.probeId,
      name: 'old',
      regionId: said.region.id,
      kid,
      publicKey,
      status: 'active',
    };
    const registry = {
      probeByKid: (id: string) => (id === kid ? probe : undefined),
      regionsOfEndpoint: () => new Set([said.region.id]),
    } as unknown as Parameters<typeof verifyBatch>[1];
    let results = 0;
    const outcomes = new Set<string>();
    for (const { headers, value } of said.batches) {
      const batch = batchFromRelay(new Headers(headers), Buffer.from(value, 'base64'));
      expect(batch).toBeTypeOf('object');
      const incoming: IncomingBatch = { ...(batch as SealedBatch), position: null };
      const seen = verifyBatch(incoming, registry, {
        nowUs: 4_000_000_000_000_000,
        sealedUntilUs: 0,
        hasPartition: () => true,
      });
      expect(seen.rejects).toEqual([]);
      expect(seen.claim?.seq).toBeGreaterThan(0);
      for (const { outcome, facts, evidence } of seen.results) {
        outcomes.add(outcome);
        expect([facts, evidence]).toEqual([null, null]);
      }
      results += seen.results.length;
    }
    expect(results).toBeGreaterThan(10);
    expect(outcomes).toEqual(new Set(['up', 'down']));
  });

  test('it is new enough, unless somebody raised the oldest on purpose', () => {
    expect(compareVersions(said.version, oldestProbe)).toBeGreaterThanOrEqual(0);
  });
});

describe('what this hub says is read by a probe of 0.1', () => {
  let scene: LeaseScene;
  let probe: LeaseProbe;
  beforeAll(async () => {
    scene = await leaseScene({ waitMs: 50 });
    probe = await scene.join('lab');
  });
  afterAll(() => scene.end());

  test('a lease for what it asks, with every claim that it knows in the form that it knows', async () => {
    const [first] = said.leases;
    // The documents of its region are made when the first asks.
    await scene.askUntil(probe, () => true);
    const claims = await scene.ask(probe, first?.body);
    for (const [name, value] of Object.entries(first?.claims ?? {})) {
      const now = claims[name as keyof typeof claims];
      expect([name, typeof now, Array.isArray(now)]).toEqual([name, typeof value, Array.isArray(value)]);
    }
  });

  test('assignments: of endpoints that use nothing newer nothing is told that it does not know', async () => {
    const text = await readFile(join(folder, 'endpoints.yaml'), 'utf8');
    const read = parseEndpointFile(text, 'endpoints.yaml', {});
    if ('problems' in read) throw new Error(JSON.stringify(read.problems));
    const recorded = new Map(
      said.assignments.flatMap(({ endpoints }) => endpoints.map((one) => [one.name, one])),
    );
    expect(recorded.size).toBe(read.endpoints.length);
    for (const { endpoint } of read.endpoints) {
      const was = recorded.get(endpoint.name) ?? {};
      const id = Number(was.id);
      const trusted = { id, rev: 1, endpoint, changedAtUs: Number(was.changedAt), deleted: false };
      expectKnown(assignmentOf(trusted, endpoint), was, endpoint.name);
    }
  });
});

/** Each key is one that the hub of 0.1 wrote, and each value what it wrote there. */
function expectKnown(now: unknown, was: unknown, at: string): void {
  if (now === null || typeof now !== 'object' || Array.isArray(now)) {
    expect([at, now]).toEqual([at, was]);
    return;
  }
  for (const [key, value] of Object.entries(now)) {
    expect(was, `${at}.${key}`).toHaveProperty([key]);
    expectKnown(value, (was as Record<string, unknown>)[key], `${at}.${key}`);
  }
}

describe('what a hub of 0.1 says is read by this probe', () => {
  test('its leases, and no batch is written that it does not know', () => {
    for (const { claims } of said.leases) {
      const read = leaseClaimsSchema.parse(claims);
      expect(read).toMatchObject(claims);
      expect(commonBatchSchema(read.versions?.batchSchemas)).toBe(1);
    }
  });

  test('its assignments', () => {
    for (const document of said.assignments) {
      const { endpoints } = shardDocumentSchema.parse(document);
      expect(endpoints.map(({ name }) => name)).toEqual(document.endpoints.map(({ name }) => name));
    }
  });
});

describe('a probe that is updated', () => {
  const stream = 'e5fde31f7a15d87ad00f15b08b27ef26';
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parallax-old-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  test.each([1, currentBatchSchema])(
    'delivers what its spool holds, in batch schema %i',
    async (batchSchema) => {
      const own = join(dir, String(batchSchema));
      await cp(join(folder, 'spool', stream), own, { recursive: true });
      const spool = await openSpool({
        dir: own,
        stream,
        identity: { ...identity, probeId: said.probeId, region: said.region, kid },
        limits: { ...defaultSpoolLimits, maxAgeUs: 4_000_000_000_000_000 },
        log: quiet,
        now: () => 1_800_000_000_000_000,
        onSealed: () => undefined,
        onDropped: () => undefined,
      });
      spool.setPace({ leaseVersion: 1, batchSchema, lingerMs: 10, urgentMs: 10 });
      const before = spool.status();
      expect(before.waiting).toBeGreaterThan(0);
      await spool.sealNow();
      const seen: string[] = [];
      const { durable, lastSeq } = spool.status();
      let old = 0;
      for (let seq = durable + 1; seq <= lastSeq; seq += 1) {
        const batch = await spool.read(seq);
        if (!batch) throw new Error(`batch ${seq} is not there`);
        // What was sealed then goes as it was signed then.
        const isOld = seq <= before.lastSeq;
        if (isOld) {
          old += 1;
          expect(verifyBytes(publicKey, batch.value, batch.headers.sig)).toBe(true);
        }
        expect(batch.headers.schema).toBe(isOld ? '1' : String(batchSchema));
        const { results, gaps } = decodeBatch(batch.value, batch.headers.schema);
        expect(gaps).toEqual([]);
        seen.push(...results.map((one) => `${one.endpointId} ${one.scheduledAt} ${one.outcome}`));
      }
      expect(old).toBeGreaterThan(0);
      expect(lastSeq).toBeGreaterThan(before.lastSeq);
      expect(new Set(seen).size).toBe(seen.length);
      expect(spool.status().dropped).toBe(0);
      await spool.close();
    },
  );
});
