import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EndpointDocument } from '../../../shared/endpoint.ts';
import { arbitraryDocument } from '../../shared/arbitrary-endpoint.ts';
import { type EndpointsScene, endpointsScene, type Shown } from './scene.ts';

let scene: EndpointsScene;
beforeAll(async () => {
  scene = await endpointsScene();
});
afterAll(() => scene.end());

const several = fc.uniqueArray(arbitraryDocument(), {
  selector: ({ name }) => name,
  minLength: 1,
  maxLength: 8,
});

async function versions(): Promise<string[]> {
  const { content } = await scene.api<{ endpoints: Shown[] }>('GET', '?limit=1000');
  return content.endpoints.map(({ id, rev, name }) => `${id} ${rev} ${name}`);
}

async function state() {
  return scene.db.many('select id, name, rev, spec, sealed, changed_at, mac from endpoints order by id');
}

test.each(['yaml', 'json'])('export and apply as %s change nothing, for any endpoints', async (format) => {
  await fc.assert(
    fc.asyncProperty(several, async (documents: EndpointDocument[]) => {
      const applied = await scene.api('POST', '/apply', { source: 'any', prune: true, endpoints: documents });
      expect(applied.text).toContain('"changes"');
      const before = await state();
      const again = await scene.api('POST', '/apply', { source: 'any', prune: true, endpoints: documents });
      expect(again.content).toMatchObject({ changes: [], unchanged: documents.length });
      const exported = await scene.cli('export', '--format', format);
      const file = await scene.file(`round.${format}`, exported.out);
      expect(await scene.cli('diff', file, '--source', 'any', '--prune')).toMatchObject({ code: 0 });
      expect(await scene.cli('apply', file, '--source', 'any', '--prune')).toMatchObject({
        code: 0,
        out: `${documents.length} unchanged\n`,
      });
      expect(await state()).toEqual(before);
      for (const { id } of scene.catalog.all()) expect(scene.catalog.reveal(id)).toBeDefined();
      expect((await versions()).length).toBe(documents.length);
    }),
    { numRuns: 12 },
  );
});

test('what the shard gets is what was written, for any endpoints', async () => {
  await fc.assert(
    fc.asyncProperty(several, async (documents: EndpointDocument[]) => {
      await scene.api('POST', '/apply', { source: 'any', prune: true, endpoints: documents });
      await scene.catalog.refresh();
      const known = new Map([...scene.catalog.all()].map(({ id, endpoint }) => [endpoint.name, id]));
      expect([...known.keys()].sort()).toEqual(documents.map(({ name }) => name).sort());
      for (const { name, request = {}, expect: expected = {} } of documents) {
        const revealed = scene.catalog.reveal(known.get(name) ?? 0);
        expect(revealed?.request).toMatchObject(request);
        const { certDays = 14 } = expected as { certDays?: number };
        expect(revealed?.expect).toHaveProperty('certDays', certDays);
      }
    }),
    { numRuns: 12 },
  );
});
