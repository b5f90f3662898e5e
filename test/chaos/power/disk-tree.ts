import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { DiskTree } from './power-loss.ts';

export async function readTree(folder: string): Promise<DiskTree> {
  const folders = new Map<string, number>();
  const files = new Map<string, { content: Buffer; mode: number }>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const absolute = join(entry.parentPath, entry.name);
    const path = relative(folder, absolute);
    const mode = (await stat(absolute)).mode & 0o777;
    if (entry.isDirectory()) folders.set(path, mode);
    else files.set(path, { content: await readFile(absolute), mode });
  }
  return { folders, files };
}

/** Puts it in the place of whatever the folder holds. New files: what others linked keeps what it had. */
export async function writeTree(folder: string, { folders, files }: DiskTree): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true, force: true });
  for (const [path, mode] of [...folders].sort(([a], [b]) => a.length - b.length)) {
    await mkdir(join(folder, path), { mode });
  }
  for (const [path, { content, mode }] of files) {
    await writeFile(join(folder, path), content, { mode });
    await chmod(join(folder, path), mode);
  }
}
