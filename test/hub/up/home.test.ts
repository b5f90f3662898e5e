import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openHome } from '../../../hub/up/home.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parallax-home-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function open(env: Record<string, string> = {}): Promise<string> {
  const home = await openHome(folder, env);
  await home.lock.release();
  return home.secret;
}

test('the secret is made once and kept', async () => {
  const secret = await open();
  expect(Buffer.from(secret, 'base64')).toHaveLength(32);
  await mkdir(join(folder, 'postgres'));
  expect(await open()).toBe(secret);
});

test.each(['postgres', 'keys'])(
  'one that is lost where %s is there is asked for, not made anew',
  async (there) => {
    await open();
    await mkdir(join(folder, there));
    await rm(join(folder, 'secret'));
    await expect(open()).rejects.toThrow(/secret is gone, and .* is there: bring it back from a backup/);
    await expect(readFile(join(folder, 'secret'))).rejects.toThrow('ENOENT');
    // As the message says.
    await writeFile(join(folder, 'secret'), `${Buffer.alloc(32, 7).toString('base64')}\n`);
    expect(await open()).toBe(Buffer.alloc(32, 7).toString('base64'));
  },
);

test.each(['PARALLAX_SECRET', 'PARALLAX_SECRET_FILE'])(
  '%s takes its place, and none is written',
  async (name) => {
    await mkdir(join(folder, 'postgres'));
    expect(await open({ [name]: 'x' })).toBe('');
    await expect(readFile(join(folder, 'secret'))).rejects.toThrow('ENOENT');
  },
);
