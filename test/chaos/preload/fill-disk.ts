import { existsSync } from 'node:fs';
import fsp, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { resolve, sep } from 'node:path';

/**
 * Loaded before a process's own code (`NODE_OPTIONS=--import=…`): below the folder PARALLAX_CHAOS_FULL the disk is full
 * while the file PARALLAX_CHAOS_FULL_WHILE is there. As on a real one, a file may still be made now and then, and of what
 * is written a part arrives before the refusal; what is there can be read, synced and removed. A mounted small disk
 * would do, were it not that no witness can link to files on another one.
 */
const folder = process.env.PARALLAX_CHAOS_FULL;
const flag = process.env.PARALLAX_CHAOS_FULL_WHILE;
if (folder && flag) await fill(resolve(folder), flag);

async function fill(root: string, whileThere: string): Promise<void> {
  const real = { ...fsp };
  const watched = new WeakSet<FileHandle>();
  const inside = (given: unknown) => resolve(String(given)).startsWith(root + sep);
  const full = (call: string) =>
    Object.assign(new Error(`ENOSPC: no space left on device, ${call}`), {
      code: 'ENOSPC',
      errno: -28,
      syscall: call,
    });
  const isFull = () => existsSync(whileThere);

  const handle = await real.open(process.execPath, 'r');
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const { writeFile, write } = prototype;

  Object.assign(fsp, {
    async open(given: string, flags: string | number = 'r', mode?: number) {
      const makes = flags !== 'r' && flags !== 'r+' && inside(given);
      if (makes && isFull() && Math.random() < 0.5) throw full('open');
      const opened = await real.open(given, flags, mode);
      if (inside(given)) watched.add(opened);
      return opened;
    },
    async writeFile(
      given: string,
      content: string | Uint8Array,
      options?: Parameters<typeof real.writeFile>[2],
    ) {
      if (inside(given) && isFull()) throw full('write');
      return real.writeFile(given, content, options);
    },
    async mkdir(given: string, options?: Parameters<typeof real.mkdir>[1]) {
      if (inside(given) && isFull()) throw full('mkdir');
      return real.mkdir(given, options);
    },
  });
  Object.assign(prototype, {
    async writeFile(this: FileHandle, content: string | Uint8Array, ...rest: unknown[]) {
      if (!watched.has(this) || !isFull()) return Reflect.apply(writeFile, this, [content, ...rest]);
      const bytes = Buffer.from(content as string);
      const arrived = Math.floor(Math.random() * bytes.length);
      if (arrived > 0) await Reflect.apply(write, this, [bytes, 0, arrived]);
      throw full('write');
    },
  });
  syncBuiltinESMExports();
}
