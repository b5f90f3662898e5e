import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { root } from '../harness/imports.ts';
import { canHaveNamespaces } from './namespaces.ts';
import { buildOnce } from './up-process.ts';

const possible = await canHaveNamespaces();

test.skipIf(!possible)('a private network with one way out, as deploy/demo shows it', async () => {
  await buildOnce();
  const { stdout } = await promisify(execFile)(join(root, 'deploy/demo/private-network.sh'), ['5'], {
    timeout: 120_000,
  });
  expect(stdout).toMatch(/hub:443 {2}open\nhub:80 {3}shut\nservice from the world: shut/);
  expect(stdout).toMatch(/office {2}up .* 200/);
  expect(stdout).toMatch(/office {2}down .*503/);
  expect(stdout).toMatch(/[1-9]\d* up, [1-9]\d* down, seen from inside/);
});
