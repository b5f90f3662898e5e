import { open, readFile } from 'node:fs/promises';

const sectorBytes = 4096;

/**
 * A file's bytes, also from a disk that is going bad: a sector that cannot be read any more (EIO) costs what stood in
 * it. It reads as zeros, which are no record; the whole file would be given up for it otherwise, and with it every
 * start of the probe.
 */
export async function readSpoilt(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
  }
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    return await readAround(size, (bytes, at, length) => file.read(bytes, at, length, at));
  } finally {
    await file.close();
  }
}

export async function readAround(
  size: number,
  read: (bytes: Buffer, at: number, length: number) => Promise<unknown>,
): Promise<Buffer> {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += sectorBytes) {
    const length = Math.min(sectorBytes, size - at);
    await read(bytes, at, length).catch((error: unknown) => {
      if (!isUnreadable(error)) throw error;
      bytes.fill(0, at, at + length);
    });
  }
  return bytes;
}

export function isUnreadable(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EIO';
}
