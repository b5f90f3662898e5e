import { AsyncLocalStorage } from 'node:async_hooks';
import fs from 'node:fs';
import fsp, { type FileHandle } from 'node:fs/promises';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { dirname, relative, resolve, sep } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { type DiskOp, encodeOp } from '../power/disk-op.ts';

/** Calls of node:fs that change something. */
const changing = [
  'open',
  'writeFile',
  'appendFile',
  'rename',
  'link',
  'symlink',
  'unlink',
  'rm',
  'rmdir',
  'mkdir',
  'mkdtemp',
  'truncate',
  'copyFile',
  'cp',
];

interface Open {
  readonly id: string;
  readonly isFolder: boolean;
  readonly path: string;
  append: boolean;
  position: number;
}

async function record(root: string, file: string): Promise<void> {
  const log = fs.openSync(file, 'a', 0o600);
  const { writeSync, statSync, readdirSync } = fs;
  let count = 0;
  let made = 0;

  function tell(what: DiskOp, body?: Uint8Array): number {
    writeSync(log, encodeOp(what, performance.timeOrigin + performance.now(), body));
    count += 1;
    return count - 1;
  }

  /** Null for what lies elsewhere. */
  function pathOf(given: unknown): string | null {
    const text =
      given instanceof URL ? given.pathname : Buffer.isBuffer(given) ? given.toString() : String(given);
    const absolute = resolve(text);
    if (absolute === root) return '.';
    return absolute.startsWith(root + sep) ? relative(root, absolute) : null;
  }

  /** What files are, by the names that this process gave them or took away; all others are what they were called before. */
  const ids = new Map<string, string>();
  const idOf = (path: string) => ids.get(path) ?? path;
  const sizes = new Map<string, number>();
  const opened = new WeakMap<FileHandle, Open>();
  const within = new AsyncLocalStorage<true>();

  function newId(path: string): string {
    made += 1;
    const id = `${path}#${made}`;
    ids.set(path, id);
    return id;
  }

  const seen = (path: string) => statSync(resolve(root, path), { throwIfNoEntry: false });
  const real = { ...fsp };
  const put = (name: string, call: unknown) => Object.assign(fsp, { [name]: call });

  put('open', async (given: fs.PathLike, flags: string | number = 'r', mode = 0o666) => {
    const path = pathOf(given);
    const before = path === null ? undefined : seen(path);
    const handle = await real.open(given, flags, mode);
    if (path === null) return handle;
    if (typeof flags !== 'string') {
      tell({ op: 'unknown', call: `open with flags ${flags}` });
      return handle;
    }
    const now = await handle.stat();
    const isFolder = now.isDirectory();
    if (before === undefined) tell({ op: 'create', path, id: newId(path), mode: now.mode & 0o777 });
    else if (flags.startsWith('w')) tell({ op: 'truncate', id: idOf(path), size: 0 });
    const id = idOf(path);
    if (!isFolder) sizes.set(id, now.size);
    opened.set(handle, { id, isFolder, path, append: flags.startsWith('a'), position: 0 });
    return handle;
  });

  put('rename', async (from: fs.PathLike, to: fs.PathLike) => {
    const [source, target] = [pathOf(from), pathOf(to)];
    await real.rename(from, to);
    if (source === null && target === null) return;
    if (source === null || target === null || dirname(source) !== dirname(target)) {
      tell({ op: 'unknown', call: 'rename from one folder into another' });
      return;
    }
    const id = idOf(source);
    ids.delete(source);
    ids.set(target, id);
    tell({ op: 'rename', from: source, path: target, id });
  });

  put('link', async (existing: fs.PathLike, path: fs.PathLike) => {
    await real.link(existing, path);
    const [source, target] = [pathOf(existing), pathOf(path)];
    if (source === null || target === null) return;
    ids.set(target, idOf(source));
    tell({ op: 'link', path: target, id: idOf(source) });
  });

  function tellGone(path: string): void {
    tell({ op: 'unlink', path, id: idOf(path) });
    ids.delete(path);
  }

  put('unlink', async (given: fs.PathLike) => {
    await real.unlink(given);
    const path = pathOf(given);
    if (path !== null) tellGone(path);
  });

  put('rm', async (given: fs.PathLike, options?: fs.RmOptions) => {
    const path = pathOf(given);
    const was = path === null ? undefined : seen(path);
    const inside = was?.isDirectory() && path !== null ? entriesBelow(path) : [];
    // It is made of other calls of node:fs.
    await within.run(true, () => real.rm(given, options));
    if (path === null || was === undefined) return;
    for (const entry of inside) if (!entry.isFolder) tellGone(entry.path);
    for (const entry of inside.toReversed()) if (entry.isFolder) tell({ op: 'rmdir', path: entry.path });
    if (was.isDirectory()) tell({ op: 'rmdir', path });
    else tellGone(path);
  });

  function entriesBelow(path: string): { path: string; isFolder: boolean }[] {
    return readdirSync(resolve(root, path), { recursive: true, withFileTypes: true }).map((entry) => ({
      path: relative(root, resolve(entry.parentPath, entry.name)),
      isFolder: entry.isDirectory(),
    }));
  }

  put('mkdir', async (given: fs.PathLike, options?: fs.MakeDirectoryOptions) => {
    const answer = await real.mkdir(given, options);
    const path = pathOf(given);
    if (path === null) return answer;
    if (options?.recursive) tell({ op: 'unknown', call: 'mkdir with recursive' });
    tell({ op: 'mkdir', path, mode: (seen(path)?.mode ?? 0o700) & 0o777 });
    return answer;
  });

  put('truncate', async (given: fs.PathLike, size = 0) => {
    await real.truncate(given, size);
    const path = pathOf(given);
    if (path === null) return;
    sizes.set(idOf(path), size);
    tell({ op: 'truncate', id: idOf(path), size });
  });

  put(
    'writeFile',
    async (given: fs.PathLike | FileHandle, content: unknown, options?: fs.WriteFileOptions) => {
      if (typeof given === 'object' && 'fd' in given) return given.writeFile(content as string, options);
      const path = pathOf(given);
      const before = path === null ? undefined : seen(path);
      await real.writeFile(given, content as string, options);
      if (path === null) return undefined;
      if (before === undefined)
        tell({ op: 'create', path, id: newId(path), mode: (seen(path)?.mode ?? 0o600) & 0o777 });
      else tell({ op: 'truncate', id: idOf(path), size: 0 });
      const bytes = bytesOf(content);
      sizes.set(idOf(path), bytes.length);
      tell({ op: 'write', id: idOf(path), at: 0 }, bytes);
      return undefined;
    },
  );

  function tellWrite(open: Open, bytes: Uint8Array, position: number | null): void {
    const size = sizes.get(open.id) ?? 0;
    const at = open.append ? size : (position ?? open.position);
    tell({ op: 'write', id: open.id, at }, bytes);
    sizes.set(open.id, Math.max(size, at + bytes.length));
    if (position === null) open.position = at + bytes.length;
  }

  async function patchHandles(): Promise<void> {
    const handle = await real.open(file, 'r');
    const prototype = Object.getPrototypeOf(handle) as FileHandle;
    await handle.close();
    const was = methodsOf(prototype);
    const method = (
      name: string,
      call: (this: FileHandle, open: Open, args: unknown[]) => Promise<unknown>,
    ) =>
      Object.assign(prototype, {
        [name](this: FileHandle, ...args: unknown[]) {
          const open = opened.get(this);
          return open ? call.call(this, open, args) : was[name]?.apply(this, args);
        },
      });
    const straight = (of: FileHandle, name: string, args: unknown[]) => was[name]?.apply(of, args);

    method('writeFile', async function (open, args) {
      await straight(this, 'writeFile', args);
      tellWrite(open, bytesOf(args[0]), null);
    });
    method('write', async function (open, args) {
      const [first, offset, length, position] = args;
      const answer = (await straight(this, 'write', args)) as { bytesWritten: number };
      if (typeof first === 'string' || (offset !== undefined && typeof offset !== 'number'))
        tell({ op: 'unknown', call: 'FileHandle.write of this form' });
      else {
        const from = offset ?? 0;
        const bytes = bytesOf(first).subarray(
          from,
          from + Math.min(answer.bytesWritten, (length as number) ?? Infinity),
        );
        tellWrite(open, bytes, (position as number | null | undefined) ?? null);
      }
      return answer;
    });
    method('truncate', async function (open, args) {
      await straight(this, 'truncate', args);
      const size = (args[0] as number | undefined) ?? 0;
      sizes.set(open.id, size);
      tell({ op: 'truncate', id: open.id, size });
    });
    for (const name of ['sync', 'datasync']) {
      method(name, async function (open, args) {
        const { id, path, isFolder } = open;
        const began = tell(isFolder ? { op: 'folder-begin', path } : { op: 'sync-begin', id });
        await straight(this, name, args);
        tell(isFolder ? { op: 'folder-end', path, began } : { op: 'sync-end', id, began });
      });
    }
    for (const name of ['appendFile', 'writev', 'createWriteStream']) {
      method(name, function (_, args) {
        tell({ op: 'unknown', call: `FileHandle.${name}` });
        return straight(this, name, args) as Promise<unknown>;
      });
    }
  }

  /** Everything else that could change something in the folder. */
  function guard(target: Record<string, unknown>, names: readonly string[], where: string): void {
    for (const name of names) {
      const call = target[name];
      if (typeof call !== 'function') continue;
      target[name] = function (this: unknown, ...args: unknown[]) {
        const touches = args.slice(0, 2).some((arg) => isPathLike(arg) && pathOf(arg) !== null);
        const reads =
          name.startsWith('open') &&
          (args[1] === undefined || args[1] === 'r' || typeof args[1] === 'function');
        if (touches && !reads && !within.getStore()) tell({ op: 'unknown', call: `${where}.${name}` });
        return call.apply(this, args);
      };
    }
  }

  if (isMainThread) {
    const other = ['appendFile', 'copyFile', 'cp', 'symlink', 'rmdir', 'mkdtemp'];
    guard(fsp as unknown as Record<string, unknown>, other, 'promises');
  } else guard(fsp as unknown as Record<string, unknown>, changing, 'promises of a worker');
  const forms = [...changing, 'createWriteStream'].flatMap((name) => [name, `${name}Sync`]);
  guard(createRequire(import.meta.url)('node:fs') as Record<string, unknown>, forms, 'fs');
  syncBuiltinESMExports();
  await patchHandles();
}

function bytesOf(content: unknown): Uint8Array {
  if (typeof content === 'string') return Buffer.from(content);
  if (ArrayBuffer.isView(content)) return Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  throw new TypeError("the disk's seam follows strings and views");
}

function isPathLike(value: unknown): boolean {
  return typeof value === 'string' || Buffer.isBuffer(value) || value instanceof URL;
}

function methodsOf(prototype: object): Record<string, (...args: unknown[]) => unknown> {
  const names = Object.getOwnPropertyNames(prototype).filter(
    (name) => name !== 'constructor' && name !== 'fd',
  );
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = Object.getOwnPropertyDescriptor(prototype, name)?.value;
      return typeof value === 'function' ? [[name, value]] : [];
    }),
  );
}

/**
 * Loaded into a process before its own code (`NODE_OPTIONS=--import=…`): writes down what it asks of the disk below the
 * folder PARALLAX_CHAOS_DISK into the file PARALLAX_CHAOS_DISK_LOG, so that somebody else can work out what a power loss
 * would have left. It follows the calls that a probe makes of node:fs/promises; any other that changes something there
 * is logged as unknown, which makes the log void: the seam must never be blind in silence.
 */
const folder = process.env.PARALLAX_CHAOS_DISK;
const logFile = process.env.PARALLAX_CHAOS_DISK_LOG;
if (folder && logFile) await record(resolve(folder), logFile);
