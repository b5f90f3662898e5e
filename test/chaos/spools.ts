import { link, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { journalEntry } from '../../probe/spool/journal-record.ts';
import { scanRecords } from '../../probe/spool/record.ts';
import { readSealed } from '../../probe/spool/sealed-record.ts';
import { decodeBatch } from '../../shared/batch.ts';
import { resultKey } from '../flow/spool-witness.ts';

/** A result that a probe acknowledged, and where it stood. */
export interface Acknowledged {
  readonly key: string;
  readonly stream: string;
  /** Of the batch it was sealed into; null while it was only in a journal. */
  seq: number | null;
  readonly scheduledAt: number;
}

export interface SpoolWitness {
  /** All that was ever in the spools, by key. Cheap where little is new. */
  read(): Promise<ReadonlyMap<string, Acknowledged>>;
  /** Written and never acknowledged, by the word of the fault that took them: not to be looked for, unless seen again. */
  forget(keys: ReadonlySet<string>): void;
  /** Bytes of the files that lie in the spools now. */
  bytes(): Promise<number>;
  stop(): Promise<void>;
}

const everyMs = 20;

/**
 * Keeps a second name for every segment of these spools, so that what is deleted there can still be read. A fault that
 * damages a file in place damages this name too: it calls read() before.
 */
export async function witnessSpools(
  spools: ReadonlyMap<string, string>,
  folder: string,
): Promise<SpoolWitness> {
  const seen = new Map<string, { stream: string; file: string; path: string; done: boolean }>();
  const known = new Map<string, Acknowledged>();
  let stopped = false;

  async function look(): Promise<void> {
    for (const [probe, spool] of spools) {
      for (const stream of await readdir(spool).catch(() => [])) {
        for (const file of await readdir(join(spool, stream)).catch(() => [])) {
          if (!/^(sealed|journal)-\d+$/.test(file)) continue;
          // A power cut or a restored copy may put another file under the same name.
          const inode = await stat(join(spool, stream, file)).then(
            ({ ino }) => ino,
            () => null,
          );
          const name = `${probe}-${stream}-${file}-${inode}`;
          if (inode === null || seen.has(name)) continue;
          const path = join(folder, name);
          const kept = await link(join(spool, stream, file), path).then(
            () => true,
            () => false,
          );
          if (kept) seen.set(name, { stream, file, path, done: false });
        }
      }
    }
  }

  await mkdir(folder, { recursive: true });
  const looking = (async () => {
    while (!stopped) {
      await look();
      await wait(everyMs);
    }
  })();

  function note(key: string, stream: string, seq: number | null, scheduledAt: number): void {
    const one = known.get(key);
    if (!one) known.set(key, { key, stream, seq, scheduledAt });
    else if (seq !== null) one.seq = seq;
  }

  async function readFileOnce(one: {
    stream: string;
    file: string;
    path: string;
    done: boolean;
  }): Promise<void> {
    const { nlink } = await stat(one.path);
    const [kind, number] = one.file.split('-');
    const salt = crc32(`${one.stream}/${kind}-${Number(number)}`);
    for (const record of scanRecords(await readFile(one.path), salt).records) {
      const entry = journalEntry(record);
      if (entry && 'result' in entry) {
        note(resultKey(entry.result), one.stream, null, entry.result.scheduledAt);
      }
      const sealed = readSealed(record, one.stream);
      if (!sealed) continue;
      const { results, seq } = decodeBatch(sealed.batch.value, sealed.batch.headers.schema);
      for (const result of results) note(resultKey(result), one.stream, seq, result.scheduledAt);
    }
    // Deleted in the spool before it was read here: nothing more is written to it.
    if (nlink === 1) one.done = true;
  }

  return {
    async read() {
      await look();
      for (const one of seen.values()) if (!one.done) await readFileOnce(one);
      return known;
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
      stopped = true;
      await looking;
    },
  };
}
