import { execFile } from 'node:child_process';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadHubKeys } from '../../../hub/trust/load-keys.ts';
import { reloadableKeys } from '../../../hub/trust/reloadable-keys.ts';
import { rotateKeys } from '../../../hub/trust/rotate-keys.ts';
import { readKeySetClaims } from '../../../hub/trust/sign-key-set.ts';
import { verifyKeySet } from '../../../shared/key-set.ts';
import { quiet } from '../ingest/scene.ts';

const publicUrl = 'https://hub.example';
const now = () => Date.now() * 1000;
let home: string;
let dir: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'parallax-keys-'));
  dir = join(home, 'a', 'keys');
});
afterEach(() => rm(home, { recursive: true }));

const load = (url = publicUrl) => loadHubKeys({ dir, publicUrl: url, now });
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
const rootFiles = async (folder = dir) => (await readdir(folder)).filter((name) => name.startsWith('root-'));

describe('the hub’s keys', () => {
  test('are made once, for this user alone, and are the same ever after', async () => {
    const made = await load();
    expect(await modeOf(dir)).toBe(0o700);
    const names = (await readdir(dir)).sort();
    expect(names).toEqual(['hub-keys.json', `root-${made.rootThumbprint}.json`]);
    for (const name of names) expect(await modeOf(join(dir, name))).toBe(0o600);
    const again = await load();
    expect([again.lease.kid, again.kafka.kid, again.keySet, again.rootThumbprint]).toEqual([
      made.lease.kid,
      made.kafka.kid,
      made.keySet,
      made.rootThumbprint,
    ]);
    expect(Buffer.from(again.hmac).equals(Buffer.from(made.hmac))).toBe(true);
    const trusted = await verifyKeySet(made.keySet, made.rootThumbprint, { issuer: publicUrl });
    expect(trusted.keys.map(({ kid }) => kid)).toEqual([made.lease.kid]);
  });

  test('are one set where twenty replicas start at once on an empty folder', async () => {
    const sets = await Promise.all(Array.from({ length: 20 }, () => load()));
    expect(new Set(sets.map(({ lease }) => lease.kid)).size).toBe(1);
    expect(new Set(sets.map(({ hmac }) => Buffer.from(hmac).toString('hex'))).size).toBe(1);
    expect((await readdir(dir)).sort()).toEqual(['hub-keys.json', ...(await rootFiles())]);
    expect(await rootFiles()).toHaveLength(1);
  });

  test('run without their root, which is only needed to sign others', async () => {
    const made = await load();
    const [root = ''] = await rootFiles();
    await rename(join(dir, root), join(home, root));
    expect((await load()).lease.kid).toBe(made.lease.kid);
    await expect(rotateKeys({ dir, lease: true, now })).rejects.toMatchObject({ code: 'root_away' });
    await expect(load('https://new.example')).rejects.toThrow(
      /are for https:\/\/hub\.example, and PARALLAX_PUBLIC_URL is https:\/\/new\.example.*--root-key/,
    );
    expect((await load()).lease.kid).toBe(made.lease.kid);
  });

  test('are signed anew for another public URL', async () => {
    const made = await load();
    const moved = await load('https://new.example');
    expect(moved.lease.kid).toBe(made.lease.kid);
    const before = readKeySetClaims(made.keySet);
    const { iss, version } = readKeySetClaims(moved.keySet);
    expect(iss).toBe('https://new.example');
    expect(version).toBeGreaterThan(before.version);
  });

  const spoiled: [what: string, spoil: () => Promise<unknown>, message: RegExp][] = [
    [
      'others can read them',
      () => chmod(join(dir, 'hub-keys.json'), 0o640),
      /hub-keys\.json can be read by other users \(mode 640\): run chmod 600/,
    ],
    [
      'others can write to the folder',
      () => chmod(dir, 0o777),
      /other users can write to .* \(mode 777\): run chmod 700/,
    ],
    ['the file is cut', () => cut(0.5), /hub-keys\.json is damaged: bring it back from a backup/],
    ['the file is empty', () => cut(0), /hub-keys\.json is damaged/],
    ['a member is missing', () => edit((file) => ({ ...file, hmac: undefined })), /is damaged/],
    [
      'it has the keys of another set',
      async () => {
        const other = join(home, 'other');
        await loadHubKeys({ dir: other, publicUrl, now });
        const theirs = JSON.parse(await readFile(join(other, 'hub-keys.json'), 'utf8')) as Record<
          string,
          unknown
        >;
        await edit((file) => ({ ...file, lease: theirs.lease }));
      },
      /do not fit \(the key set names other keys\)/,
    ],
    [
      'a private key is not of its public key',
      () =>
        edit((file) => {
          const [first] = file.lease as { jwk: object }[];
          return { ...file, lease: [{ ...first, jwk: { ...first?.jwk, d: 'A'.repeat(43) } }] };
        }),
      /do not fit \(the two halves of a key do not fit\)/,
    ],
    [
      'the key set is signed by nobody',
      () =>
        edit((file) => {
          const { keyset } = file.keySet as { keyset: string };
          return { ...file, keySet: { chain: [], keyset: `${keyset.slice(0, -10)}AAAAAAAAAA` } };
        }),
      /do not fit \(the signature does not fit\)/,
    ],
    [
      'only the root is left',
      () => rm(join(dir, 'hub-keys.json')),
      /has root-.*\.json but no hub-keys\.json: bring it back from a backup, or empty the folder/,
    ],
  ];
  test.each(spoiled)('are refused in one line where %s', async (_, spoil, message) => {
    await load();
    await spoil();
    const error = await load().catch((error: unknown) => error as Error & { code?: string });
    expect(error).toMatchObject({ name: 'KeysError', message: expect.stringMatching(message) });
    expect((error as Error).message).not.toContain('\n');
  });

  test('are read from a folder that nobody can write to, and from one as Kubernetes mounts it', async () => {
    const made = await load();
    for (const mode of [0o500, 0o1777]) {
      await chmod(dir, mode);
      expect((await load()).lease.kid).toBe(made.lease.kid);
    }
  });

  test('are refused in one line where the folder cannot be made', async () => {
    await mkdir(join(home, 'a'));
    await writeFile(dir, 'a file');
    await expect(load()).rejects.toMatchObject({ name: 'KeysError' });
  });

  test('survive a start that was killed before and after the set was in place', async () => {
    // Before: a draft of a root that nothing names.
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await writeFile(join(dir, `.root-${'x'.repeat(43)}.draft`), '{}', { mode: 0o600 });
    const made = await load();
    // After: the root's own name is still to be given.
    const root = `root-${made.rootThumbprint}.json`;
    await rename(join(dir, root), join(dir, `.root-${made.rootThumbprint}.draft`));
    await load();
    expect(await rootFiles()).toEqual([root]);
  });

  async function cut(share: number): Promise<void> {
    const text = await readFile(join(dir, 'hub-keys.json'), 'utf8');
    await writeFile(join(dir, 'hub-keys.json'), text.slice(0, text.length * share));
  }
  async function edit(change: (file: Record<string, unknown>) => object): Promise<void> {
    const file = JSON.parse(await readFile(join(dir, 'hub-keys.json'), 'utf8')) as Record<string, unknown>;
    await writeFile(join(dir, 'hub-keys.json'), JSON.stringify(change(file)));
  }
});

describe('rotation', () => {
  test('a new lease key signs, the old one verifies for a week', async () => {
    const before = await load();
    await rotateKeys({ dir, lease: true, now });
    const after = await load();
    expect(after.leaseKeys.map(({ kid }) => kid)).toEqual([after.lease.kid, before.lease.kid]);
    expect(after.lease.kid).not.toBe(before.lease.kid);
    expect(after.kafka.kid).toBe(before.kafka.kid);
    expect(Buffer.from(after.hmac).equals(Buffer.from(before.hmac))).toBe(true);
    const trusted = await verifyKeySet(after.keySet, before.rootThumbprint, {
      leastVersion: readKeySetClaims(before.keySet).version + 1,
    });
    expect(trusted.keys.map(({ kid }) => kid)).toEqual(after.leaseKeys.map(({ kid }) => kid));
    const { dropped } = await rotateKeys({ dir, lease: true, now: () => now() + 8 * 86_400_000_000 });
    expect(dropped).toEqual([before.lease.kid]);
    expect((await load()).leaseKeys).toHaveLength(2);
  });

  test('after a theft the old keys verify no longer', async () => {
    const before = await load();
    await rotateKeys({ dir, lease: true, kafka: true, dropOld: true, now });
    const after = await load();
    expect([after.leaseKeys.length, after.kafkaKeys.length]).toEqual([1, 1]);
    expect(after.lease.kid).not.toBe(before.lease.kid);
  });

  test('the Kafka key is rotated without the root', async () => {
    const before = await load();
    const [root = ''] = await rootFiles();
    await rename(join(dir, root), join(home, root));
    await rotateKeys({ dir, kafka: true, now });
    const after = await load();
    expect(after.kafkaKeys.map(({ kid }) => kid)).toEqual([after.kafka.kid, before.kafka.kid]);
    expect(after.keySet).toEqual(before.keySet);
  });

  test('three new roots: whoever pinned any of them follows, and the old private keys are gone', async () => {
    const pins = [(await load()).rootThumbprint];
    for (let round = 0; round < 3; round += 1) pins.push((await rotateKeys({ dir, root: true, now })).root);
    const { keySet, rootThumbprint } = await load();
    expect(rootThumbprint).toBe(pins[3]);
    for (const pin of pins) expect((await verifyKeySet(keySet, pin)).root).toBe(rootThumbprint);
    expect(await rootFiles()).toEqual([`root-${rootThumbprint}.json`]);
  });

  test('with a root that lies elsewhere a new one is written beside it', async () => {
    const made = await load();
    const offline = join(home, 'usb');
    await mkdir(offline, { mode: 0o700 });
    const file = join(offline, 'my-root.json');
    await rename(join(dir, `root-${made.rootThumbprint}.json`), file);
    const rotated = await rotateKeys({ dir, lease: true, root: true, rootKeyFile: file, now });
    expect(rotated.rootFile).toBe(join(offline, `root-${rotated.root}.json`));
    expect(await rootFiles()).toEqual([]);
    expect((await load()).rootThumbprint).toBe(rotated.root);
    // The old file is no root any more, and the new one lies beside it.
    await rotateKeys({ dir, lease: true, rootKeyFile: file, now });
    await rm(rotated.rootFile ?? '');
    await expect(rotateKeys({ dir, lease: true, rootKeyFile: file, now })).rejects.toThrow(
      `${file} holds the root ${made.rootThumbprint}, and today's root is ${rotated.root}`,
    );
  });

  test('clears away what killed processes left, and keeps what may still be needed', async () => {
    const { rootThumbprint } = await load();
    const old = join(home, 'old.json');
    await copyFile(join(dir, `root-${rootThumbprint}.json`), old);
    await rotateKeys({ dir, root: true, now });
    // Killed before the old root was taken away; drafts of long ago and of just now; a file of the operator's own.
    await rename(old, join(dir, `root-${rootThumbprint}.json`));
    for (const name of [
      '.keys-abc.draft',
      `.root-${'x'.repeat(43)}.draft`,
      '.keys-now.draft',
      'root-notes.txt',
    ]) {
      await writeFile(join(dir, name), '', { mode: 0o600 });
      if (!/now|notes/.test(name)) await utimes(join(dir, name), 1, 1);
    }
    const { root } = await rotateKeys({ dir, lease: true, now });
    expect((await readdir(dir)).sort()).toEqual(
      ['.keys-now.draft', 'hub-keys.json', `root-${root}.json`, 'root-notes.txt'].sort(),
    );
  });

  test('by several processes at once: each ends or is told who is at it, and the set fits', async () => {
    const { version } = readKeySetClaims((await load()).keySet);
    const module = new URL('../../../hub/trust/rotate-keys.ts', import.meta.url).href;
    const code = `
      import { rotateKeys } from ${JSON.stringify(module)};
      const options = { dir: ${JSON.stringify(dir)}, lease: true, root: true, now: () => Date.now() * 1000 };
      await rotateKeys(options).then(() => console.log('done'), (error) => console.log(error.code));`;
    const run = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', code]);
    const ends = (await Promise.all([run(), run(), run(), run()])).map(({ stdout }) => stdout.trim());
    expect(ends.filter((end) => end !== 'done' && end !== 'in_use')).toEqual([]);
    const done = ends.filter((end) => end === 'done').length;
    expect(done).toBeGreaterThan(0);
    const after = await load();
    expect(after.leaseKeys).toHaveLength(1 + done);
    expect(after.keySet.chain).toHaveLength(done);
    expect(readKeySetClaims(after.keySet).version).toBeGreaterThan(version);
  });

  test('reaches a hub that runs, and what cannot be loaded does not', async () => {
    const { keys, reload, stop } = await reloadableKeys({ dir, publicUrl, now, log: quiet, everyMs: 20 });
    try {
      const before = keys.lease.kid;
      expect(await reload()).toBe(false);
      const { leaseKid } = await rotateKeys({ dir, lease: true, now });
      await expect.poll(() => keys.lease.kid, { timeout: 2000, interval: 10 }).toBe(leaseKid);
      expect(leaseKid).not.toBe(before);
      const text = await readFile(join(dir, 'hub-keys.json'), 'utf8');
      await writeFile(join(dir, 'hub-keys.json'), text.slice(0, 100));
      await reload();
      expect(keys.lease.kid).toBe(leaseKid);
      await rm(join(dir, 'hub-keys.json'));
      await reload();
      expect(keys.lease.kid).toBe(leaseKid);
    } finally {
      stop();
    }
  });
});
