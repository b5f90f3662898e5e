import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lockFolder } from '../../../hub/process/folder-lock.ts';

const module = join(import.meta.dirname, '../../../hub/process/folder-lock.ts');
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parallax-lock-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Another process that takes the lock and keeps running. */
async function holder() {
  const script = `import { lockFolder } from '${module}';
    console.log(JSON.stringify(await lockFolder('${folder}')));
    setTimeout(() => {}, 60000);`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script]);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, answer: JSON.parse(said.toString()) as { lock: object | null; heldBy?: number } };
}

describe('the lock of a folder', () => {
  test('is refused while another process lives, and says which', async () => {
    const { child, answer } = await holder();
    expect(answer.lock).not.toBeNull();
    expect(await lockFolder(folder)).toEqual({ lock: null, heldBy: child.pid });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await lockFolder(folder)).toMatchObject({ stale: true });
  });

  test('is free again after release, and leaves no files', async () => {
    const first = await lockFolder(folder);
    expect(first).toMatchObject({ stale: false });
    await first.lock?.release();
    expect(await readdir(folder)).toEqual([]);
    expect(await lockFolder(folder)).toMatchObject({ stale: false });
  });

  test('of a process whose id went to another is taken over', async () => {
    const { child } = await holder();
    const file = join(folder, 'lock');
    const held = JSON.parse(await readFile(file, 'utf8')) as object;
    await writeFile(file, JSON.stringify({ ...held, began: '1' }));
    expect(await lockFolder(folder)).toMatchObject({ stale: true });
    child.kill('SIGKILL');
  });

  test.each(['', '{', '{}', '{"pid":"x"}', 'null'])('that holds %j is taken over', async (content) => {
    await writeFile(join(folder, 'lock'), content);
    expect(await lockFolder(folder)).toMatchObject({ stale: true });
  });

  test('goes to one of many who ask at once', async () => {
    const holders = await Promise.all(Array.from({ length: 4 }, holder));
    expect(holders.filter(({ answer }) => answer.lock).length).toBe(1);
    for (const { child } of holders) child.kill('SIGKILL');
  });
});
