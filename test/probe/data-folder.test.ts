import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { folderProblem, openDataFolder } from '../../probe/state/data-folder.ts';
import { replaceFile, writeDurably } from '../../probe/state/durable-file.ts';
import { lockFolder } from '../../probe/state/folder-lock.ts';
import { startFakeHub } from './fake-hub.ts';
import { smallDisk } from './spool/small-disk.ts';
import { assign, endpoint, startProbe, startTarget, tempFolder } from './start-probe.ts';

async function temp(): Promise<string> {
  const { path, remove } = await tempFolder();
  onTestFinished(remove);
  return path;
}

describe('the folder of a probe', () => {
  test('is made with all above it, for its owner alone, also where somebody made it wider before', async () => {
    const path = join(await temp(), 'a/b');
    const folder = await openDataFolder(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    await folder.release();
    await chmod(path, 0o755);
    await (await openDataFolder(path)).release();
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  const problems: [code: string, says: RegExp][] = [
    ['EROFS', /disk of \/d is read-only: .*--data/],
    ['EACCES', /may not be written by this user/],
    ['ENOSPC', /disk of \/d is full: free some space/],
    ['EDQUOT', /is full/],
    ['ENOTDIR', /is not a folder/],
    ['EIO', /^\/d: input\/output error$/],
  ];
  test.each(problems)('that cannot be had for %s is one line for whoever can change it', (code, says) => {
    const words = folderProblem('/d', Object.assign(new Error('input/output error'), { code }));
    expect(words).toMatch(says);
    expect(words).not.toContain('\n');
  });
});

describe('a disk', () => {
  const disk = smallDisk(64);
  afterAll(() => disk?.remove());
  const onDisk = test.skipIf(disk === null);
  const path = disk?.path ?? '';

  onDisk('that is full ends an enrollment in one line, and what lay there lies there still', async () => {
    const kept = await readFile(join(path, 'kept'), 'utf8').catch(async () => {
      await writeFile(join(path, 'kept'), 'kept');
      return 'kept';
    });
    await writeFile(join(path, 'filler'), Buffer.alloc(200_000)).catch(() => undefined);
    const probe = startProbe({ dataDir: join(path, 'data'), token: { text: 'x' } });
    await expect(probe.ended).rejects.toThrow(/the disk of .*data is full: free some space/);
    expect(await readFile(join(path, 'kept'), 'utf8')).toBe(kept);
    await rm(join(path, 'filler'));
  });

  onDisk('that is read-only ends a start in one line', async () => {
    disk?.readOnly(true);
    const probe = startProbe({ dataDir: join(path, 'data'), token: { text: 'x' } });
    await expect(probe.ended).rejects.toThrow(/the disk of .*data is read-only: .*--data/);
    disk?.readOnly(false);
  });

  onDisk('that fills up while the probe runs stops no check', async () => {
    const hub = await startFakeHub();
    const target = await startTarget();
    assign(hub, endpoint(1, `${target.url}/a`));
    const probe = startProbe({ dataDir: join(path, 'running'), token: { text: await hub.token() } });
    onTestFinished(async () => {
      await probe.stop();
      await hub.close();
      await target.close();
    });
    await probe.resulted(1);
    await writeFile(join(path, 'filler'), Buffer.alloc(200_000)).catch(() => undefined);
    await probe.said('could not be kept on disk');
    const count = probe.results.length;
    await probe.resulted(count + 2);
    await rm(join(path, 'filler'));
  });
});

describe('the lock', () => {
  const module = join(import.meta.dirname, '../../probe/state/folder-lock.ts');
  async function holder(folder: string, within: readonly string[] = []) {
    const script = `import { lockFolder } from '${module}';
      const { lock } = await lockFolder('${folder}');
      console.log(lock ? 'held' : 'refused');
      setTimeout(() => {}, 60000);`;
    const [command = '', ...rest] = [
      ...within,
      process.execPath,
      '--input-type=module-typescript',
      '-e',
      script,
    ];
    const child = spawn(command, rest);
    onTestFinished(() => void child.kill('SIGKILL'));
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    return { child, held: said.toString().trim() === 'held' };
  }

  /** As a container: its processes count from 1, and see no others. */
  const container = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
  const contained = spawnSync('unshare', [...container.slice(1), 'true']).status === 0;

  test.skipIf(!contained)(
    'holds between two containers, where both are process 1',
    async () => {
      const folder = await temp();
      const { child, held } = await holder(folder, container);
      expect(held).toBe(true);
      expect(JSON.parse(await readFile(join(folder, 'lock'), 'utf8')).pid).toBe(1);
      expect((await holder(folder, container)).held).toBe(false);
      expect(await lockFolder(folder)).toEqual({ lock: null, heldBy: 1 });
      child.kill('SIGKILL');
      await once(child, 'exit');
      expect((await holder(folder, container)).held).toBe(true);
    },
    20_000,
  );

  test('of a process that was killed goes to one of several who find it at once', async () => {
    const folder = await temp();
    const { child } = await holder(folder);
    expect(await lockFolder(folder)).toEqual({ lock: null, heldBy: child.pid });
    child.kill('SIGKILL');
    await once(child, 'exit');
    const next = await Promise.all([holder(folder), holder(folder), holder(folder)]);
    expect(next.filter(({ held }) => held).length).toBe(1);
  });

  test.each(['', '{', 'null', '{"pid":0}'])('that holds %j is taken over', async (content) => {
    const folder = await temp();
    await writeFile(join(folder, 'lock'), content);
    const { lock } = await lockFolder(folder);
    expect(lock).not.toBeNull();
    await lock?.release();
  });
});

describe('a file that is replaced', () => {
  test('holds the new content whole, for its owner alone', async () => {
    const file = join(await temp(), 'f');
    await writeDurably(file, 'one');
    await writeDurably(file, 'two');
    expect(await readFile(file, 'utf8')).toBe('two');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test('keeps the old content where the new one cannot be written', async () => {
    const file = join(await temp(), 'f');
    await writeDurably(file, 'one');
    await mkdir(`${file}.new`);
    await expect(replaceFile(file, 'two')).rejects.toThrow();
    expect(await readFile(file, 'utf8')).toBe('one');
  });
});
