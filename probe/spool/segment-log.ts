import { type FileHandle, open, readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { readSpoilt } from './read-spoilt.ts';
import { encodeRecord, type Scan, scanRecords } from './record.ts';

export interface Segment {
  readonly number: number;
  readonly path: string;
  /** Of good records. */
  bytes: number;
}

/** Numbered files of one kind in a folder, each written once from front to back. */
export interface SegmentLog {
  /** Resolves when the records are on disk (written and synced); where it rejects none of them counts as written. */
  append(records: readonly { readonly type: number; readonly payload: Uint8Array }[]): Promise<Segment>;
  /** Oldest first. */
  segments(): readonly Segment[];
  read(segment: Segment): Promise<Scan>;
  /** Cuts off what stands after the last good record. */
  repair(segment: Segment, scan: Scan): Promise<void>;
  /** The next append begins a new file. */
  rotate(): Promise<void>;
  /** Removes a file; the one being written is ended first. */
  remove(segment: Segment): Promise<void>;
  bytes(): number;
  close(): Promise<void>;
}

export interface SegmentLogOptions {
  readonly dir: string;
  /** The files are called `NAME-00000001`. */
  readonly name: string;
  /** Goes into the checksums, with the file's own name: a file that lies in the wrong place does not read. */
  readonly stream: string;
  readonly maxSegmentBytes: number;
}

export async function openSegmentLog(options: SegmentLogOptions): Promise<SegmentLog> {
  const { dir, name, stream, maxSegmentBytes } = options;
  const segments = await found(dir, name);
  let lastNumber = segments.at(-1)?.number ?? 0;
  // Never one that was there before: what a crash left at its end stays apart from what is written now.
  let active: { readonly segment: Segment; readonly handle: FileHandle } | null = null;

  const saltOf = (segment: Segment) => crc32(`${stream}/${name}-${segment.number}`);

  async function begin() {
    const number = lastNumber + 1;
    const path = join(dir, fileName(name, number));
    const handle = await open(path, 'wx', 0o600);
    lastNumber = number;
    const segment: Segment = { number, path, bytes: 0 };
    try {
      // A file is on disk only when its folder is.
      await syncFolder(dir);
    } catch (error) {
      await handle.close().catch(() => undefined);
      await rm(path, { force: true }).catch(() => undefined);
      throw error;
    }
    segments.push(segment);
    return { segment, handle };
  }

  async function end(): Promise<void> {
    const ended = active;
    active = null;
    await ended?.handle.close();
  }

  /** What a failed write left behind: after a failed sync nothing in the file's end is to be trusted. */
  async function abandon({ segment, handle }: NonNullable<typeof active>): Promise<void> {
    active = null;
    await handle.close().catch(() => undefined);
    await truncate(segment.path, segment.bytes).catch(() => undefined);
    if (segment.bytes > 0) return;
    segments.splice(segments.indexOf(segment), 1);
    await rm(segment.path, { force: true }).catch(() => undefined);
  }

  return {
    async append(records) {
      const size = records.reduce((sum, { payload }) => sum + payload.length + 12, 0);
      if (active && active.segment.bytes > 0 && active.segment.bytes + size > maxSegmentBytes) await end();
      active ??= await begin();
      const { segment, handle } = active;
      const salt = saltOf(segment);
      try {
        await handle.writeFile(
          Buffer.concat(records.map(({ type, payload }) => encodeRecord(type, payload, salt))),
        );
        await handle.datasync();
      } catch (error) {
        await abandon({ segment, handle });
        throw error;
      }
      segment.bytes += size;
      return segment;
    },
    segments: () => segments,
    read: async (segment) => scanRecords(await readSpoilt(segment.path), saltOf(segment)),
    async repair(segment, { goodEnd }) {
      const handle = await open(segment.path, 'r+');
      try {
        await handle.truncate(goodEnd);
        await handle.sync();
      } finally {
        await handle.close();
      }
      segment.bytes = goodEnd;
    },
    rotate: end,
    async remove(segment) {
      if (active?.segment === segment) await end();
      await rm(segment.path, { force: true });
      const index = segments.indexOf(segment);
      if (index >= 0) segments.splice(index, 1);
    },
    bytes: () => segments.reduce((sum, segment) => sum + segment.bytes, 0),
    close: end,
  };
}

async function found(dir: string, name: string): Promise<Segment[]> {
  const numbers = (await readdir(dir))
    .map((file) => new RegExp(`^${name}-(\\d{8,})$`).exec(file)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
  const segments: Segment[] = [];
  for (const number of numbers) {
    const path = join(dir, fileName(name, number));
    segments.push({ number, path, bytes: (await stat(path)).size });
  }
  return segments;
}

function fileName(name: string, number: number): string {
  return `${name}-${String(number).padStart(8, '0')}`;
}

async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
