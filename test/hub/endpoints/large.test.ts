import { afterAll, beforeAll, expect, test } from 'vitest';
import { createEndpointWriter } from '../../../hub/endpoints/endpoint-writer.ts';
import { readDocument } from '../../../hub/endpoints/read-documents.ts';
import type { EndpointRow } from '../../../hub/store/endpoint-row.ts';
import { insertEndpoints, takeEndpointIds } from '../../../hub/store/write-endpoints.ts';
import { signEndpointRow } from '../../../hub/trust/endpoint-rows.ts';
import { createSecretBox, sealDocument } from '../../../hub/trust/sealed-secrets.ts';
import type { EndpointDocument } from '../../../shared/endpoint.ts';
import { type EndpointsScene, endpointsScene, soon } from './scene.ts';

let scene: EndpointsScene;
beforeAll(async () => {
  scene = await endpointsScene();
});
afterAll(() => scene.end());

const count = 100_000;
const who = { actor: 'token:test', regions: null, remoteIp: '192.0.2.1' };

/** The processor's time beside the clock's: the machine has others to serve. */
async function timed<T>(
  what: string,
  work: () => Promise<T>,
): Promise<{ value: T; cpuMs: number; ms: number }> {
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  const value = await work();
  const [ms, { user, system }] = [performance.now() - started, process.cpuUsage(cpu)];
  const cpuMs = (user + system) / 1000;
  console.log(`${what}: ${Math.round(ms)} ms, ${Math.round(cpuMs)} ms of CPU here`);
  return { value, cpuMs, ms };
}

/** As the writer makes them: every hundredth is read and sealed, the others differ from it in name, URL and tags. */
function* rows(ids: readonly number[]): Generator<EndpointRow> {
  const box = createSecretBox(scene.secret);
  let spec = {} as EndpointRow['spec'];
  for (const [index, id] of ids.entries()) {
    const [name, url] = [`load-${index}`, `https://load.example/${index}`];
    const tags = { team: `team-${index % 50}` };
    if (index % 100 === 0) {
      const body = { matches: [`welcome ${index % 7}`] };
      spec = readDocument({ name, url, interval: '30s', expect: { body } }).document;
    }
    const written = { ...spec, name, url, tags };
    const secret = index % 10 === 0 ? { request: { ...spec.request, bearer: `token ${index}` } } : {};
    const sealed = sealDocument(box, id, { ...written, ...secret } as EndpointDocument, null);
    if ('problems' in sealed) throw new Error('a good document');
    const row = {
      id,
      name,
      rev: 1,
      ...sealed,
      source: 'load',
      changedAtUs: 1_767_225_600_000_000,
      deleted: false,
    };
    yield signEndpointRow(scene.keys.hmac, row);
  }
}

test('100,000 endpoints load in a few seconds, stay small, and one change of them is soon in force', async () => {
  const ids = await takeEndpointIds(scene.db, count);
  const made = [...rows(ids)];
  for (let from = 0; from < count; from += 2000)
    await insertEndpoints(scene.db, made.slice(from, from + 2000));
  const { value: catalog, cpuMs } = await timed('load 100,000', () => scene.catalogAgain());
  expect([...catalog.all()]).toHaveLength(count);
  // Measured: 4 s.
  expect(cpuMs).toBeLessThan(15_000);
  const one = catalog.byId(ids[77_770] ?? 0);
  expect(catalog.reveal(one?.id ?? 0)?.request).toHaveProperty('bearer', 'token 77770');
  // What differs is apart, the rest is one object for all that have it.
  expect(new Set([...catalog.all()].map(({ endpoint }) => endpoint.expect)).size).toBeLessThan(20);

  const writer = createEndpointWriter(scene);
  const { ms } = await timed('one change, in force', async () => {
    await writer.patch(one?.id ?? 0, 1, { interval: '7s' }, who);
    await soon(() => expect(catalog.byId(one?.id ?? 0)?.endpoint.interval).toBe(7000));
  });
  expect(ms).toBeLessThan(2000);
  await timed('apply 2,000 new of them', async () => {
    const endpoints = Array.from({ length: 2000 }, (_, n) => ({
      name: `new-${n}`,
      url: 'https://new.example/',
    }));
    const applied = await writer.apply({ source: 'x', prune: true, dryRun: false, endpoints }, who);
    expect(applied.changes).toHaveLength(2000);
  });
}, 120_000);
