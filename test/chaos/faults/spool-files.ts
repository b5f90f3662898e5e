import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { journalEntry } from '../../../probe/spool/journal-record.ts';
import { scanRecords } from '../../../probe/spool/record.ts';
import { readSealed } from '../../../probe/spool/sealed-record.ts';
import { decodeBatch } from '../../../shared/batch.ts';
import { resultKey } from '../../flow/spool-witness.ts';
import type { DiskTree } from '../power/power-loss.ts';

const segment = /^(sealed|journal)-(\d+)$/;

/** Keys of all results that can be read in a segment with these bytes: `path` ends in STREAM/KIND-NUMBER. */
export function keysIn(path: string, bytes: Buffer): string[] {
  return placesIn(path, bytes).map(([key]) => key);
}

/** The same, each with its number in the log: of its journal entry, or of its batch. */
function placesIn(path: string, bytes: Buffer): [key: string, at: number][] {
  const [file = '', stream = ''] = path.split('/').reverse();
  const [, kind, number] = segment.exec(file) ?? [];
  if (kind === undefined) return [];
  const keys: [string, number][] = [];
  for (const record of scanRecords(bytes, crc32(`${stream}/${kind}-${Number(number)}`)).records) {
    const entry = journalEntry(record);
    if (entry && 'result' in entry) keys.push([resultKey(entry.result), entry.n]);
    const sealed = readSealed(record, stream);
    if (!sealed) continue;
    const { results, seq } = decodeBatch(sealed.batch.value, sealed.batch.headers.schema);
    for (const result of results) keys.push([resultKey(result), seq]);
  }
  return keys;
}

/** Keys of all results in the spools of a folder that was read. */
export function keysInTree({ files }: DiskTree): Set<string> {
  return new Set([...files].flatMap(([path, { content }]) => keysIn(path, content)));
}

/** The same of a folder on disk, of a process that does not run. */
export async function keysInFolder(folder: string): Promise<Set<string>> {
  const keys = new Set<string>();
  for (const name of await readdir(folder, { recursive: true }).catch(() => [])) {
    if (!segment.test(name.split('/').at(-1) ?? '')) continue;
    for (const key of keysIn(join(folder, name), await readFile(join(folder, name)))) keys.add(key);
  }
  return keys;
}

/** Paths of all segments below a folder, oldest first. */
export async function segmentsIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((name) => segment.test(name.split('/').at(-1) ?? '')).sort();
}

/** Where a spool has what it has: of each result, the log it is in and its place there. */
export interface Place {
  readonly path: string;
  readonly log: string;
  readonly at: number;
}

/** Of each result in a folder, all its places. */
export async function placesInFolder(folder: string): Promise<Map<string, Place[]>> {
  const places = new Map<string, Place[]>();
  for (const path of await segmentsIn(folder)) {
    for (const [key, at] of placesIn(path, await readFile(join(folder, path)))) {
      const log = path.replace(/-\d+$/, '');
      places.set(key, [...(places.get(key) ?? []), { path, log, at }]);
    }
  }
  return places;
}

/**
 * Of results that are gone, those whose loss can be seen: in the file that was spoilt something of a record is left, or
 * a record stands behind them, and in their log there is a later one. The end of a log that is cut off is like one that
 * was never written; so is a file that ends exactly between two records.
 */
export function seenToBeGone(
  gone: ReadonlySet<string>,
  before: ReadonlyMap<string, readonly Place[]>,
  after: ReadonlyMap<string, readonly Place[]>,
  isSpoilt: boolean,
): Set<string> {
  if (!isSpoilt) return new Set();
  const last = new Map<string, number>();
  for (const { log, at } of [...after.values()].flat()) last.set(log, Math.max(last.get(log) ?? 0, at));
  const isInside = ({ log, at }: Place) => at < (last.get(log) ?? 0);
  return new Set([...gone].filter((key) => before.get(key)?.some(isInside)));
}

/** A file that shows that something happened to it. */
export function isSpoilt(path: string, bytes: Buffer): boolean {
  const [file = '', stream = ''] = path.split('/').reverse();
  const [kind, number] = file.split('-');
  const { torn, damaged } = scanRecords(bytes, crc32(`${stream}/${kind}-${Number(number)}`));
  return torn || damaged > 0;
}

export function without(all: ReadonlySet<string>, kept: ReadonlySet<string>): Set<string> {
  return new Set([...all].filter((key) => !kept.has(key)));
}
