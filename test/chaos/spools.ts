import { once } from 'node:events';
import { mkdir, readdir, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { journalEntry } from '../../probe/spool/journal-record.ts';
import { scanRecords } from '../../probe/spool/record.ts';
import { readSealed } from '../../probe/spool/sealed-record.ts';
import { decodeBatch } from '../../shared/batch.ts';
import { resultKey } from '../flow/spool-witness.ts';
import { type LookerData, linkSegments, separator, type WatchSpool } from './spool-looker.ts';

/** A result that a probe acknowledged, and where it stood. */
export interface Acknowledged {
  readonly key: string;
  readonly stream: string;
  /** Of the batch it was sealed into; null while it was only in a journal. */
  seq: number | null;
  readonly scheduledAt: number;
}

export interface SpoolWitness {
  /** From now on also this spool, which need not be there yet. */
  watch(probe: string, spool: string): void;
  /** All that was ever in the spools, by key, apart from what was settled. Cheap where little is new. */
  read(): Promise<ReadonlyMap<string, Acknowledged>>;
  /** What was due before this instant (epoch microseconds) is accounted for: it is forgotten, with its files. */
  settle(beforeUs: number): Promise<void>;
  /** Written and never acknowledged, by the word of the fault that took them: not to be looked for, unless seen again. */
  forget(keys: ReadonlySet<string>): void;
  /** Bytes of the files that lie in the spools now. */
  bytes(): Promise<number>;
  stop(): Promise<void>;
}

/** A file of a spool, under the name it has here. */
interface Segment {
  readonly stream: string;
  readonly file: string;
  readonly path: string;
  /** Records in it that are noted. */
  noted: number;
  done: boolean;
  emptied: boolean;
}

/**
 * Keeps a second name for every segment of these spools, so that what is deleted there can still be read. A fault that
 * damages a file in place damages this name too: it calls read() before.
 */
export async function witnessSpools(folder: string): Promise<SpoolWitness> {
  const spools = new Map<string, string>();
  const seen = new Map<string, Segment>();
  const known = new Map<string, Acknowledged>();
  const linked = new Set<string>();
  await mkdir(folder, { recursive: true });
  const data: LookerData = { spools, folder };
  const looker = new Worker(new URL('./spool-looker.ts', import.meta.url), { workerData: data });
  await once(looker, 'online');
  let broken: unknown = null;
  looker.on('error', (error) => {
    broken = error;
  });

  async function look(): Promise<void> {
    if (broken) throw new Error(`the witness of the spools ended: ${broken}`);
    linkSegments(data, linked);
    for (const name of await readdir(folder)) {
      const [, stream, file] = name.split(separator);
      if (seen.has(name) || stream === undefined || file === undefined) continue;
      seen.set(name, { stream, file, path: join(folder, name), noted: 0, done: false, emptied: false });
    }
  }

  function note(key: string, stream: string, seq: number | null, scheduledAt: number): void {
    const one = known.get(key);
    if (!one) known.set(key, { key, stream, seq, scheduledAt });
    else if (seq !== null) one.seq = seq;
  }

  async function readNew(one: Segment): Promise<void> {
    const { nlink } = await stat(one.path);
    const [kind, number] = one.file.split('-');
    const salt = crc32(`${one.stream}/${kind}-${Number(number)}`);
    const { records } = scanRecords(await readFile(one.path), salt);
    for (const record of records.slice(one.noted)) {
      const entry = journalEntry(record);
      if (entry && 'result' in entry) {
        note(resultKey(entry.result), one.stream, null, entry.result.scheduledAt);
      }
      const sealed = readSealed(record, one.stream);
      if (!sealed) continue;
      const { results, seq } = decodeBatch(sealed.batch.value, sealed.batch.headers.schema);
      for (const result of results) note(resultKey(result), one.stream, seq, result.scheduledAt);
    }
    one.noted = records.length;
    // Deleted in the spool before it was read here: nothing more is written to it.
    if (nlink === 1) one.done = true;
  }

  return {
    watch(probe, spool) {
      spools.set(probe, spool);
      const more: WatchSpool = { probe, spool };
      looker.postMessage(more);
    },
    async read() {
      await look();
      for (const one of seen.values()) if (!one.done) await readNew(one);
      return known;
    },
    async settle(beforeUs) {
      for (const [key, { scheduledAt }] of known) if (scheduledAt < beforeUs) known.delete(key);
      // Emptied, and still there: its inode must not come back as another file's.
      for (const one of seen.values()) {
        if (!one.done || one.emptied) continue;
        await truncate(one.path);
        one.emptied = true;
      }
    },
    forget(keys) {
      for (const key of keys) known.delete(key);
    },
    async bytes() {
      let sum = 0;
      for (const spool of spools.values()) {
        for (const name of await readdir(spool, { recursive: true }).catch(() => [])) {
          sum += await stat(join(spool, name)).then(
            (file) => (file.isFile() ? file.size : 0),
            () => 0,
          );
        }
      }
      return sum;
    },
    async stop() {
      await looker.terminate();
    },
  };
}
