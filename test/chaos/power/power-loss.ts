import { dirname } from 'node:path';
import type { LoggedOp } from './disk-op.ts';

/** A folder's content: paths relative to it. */
export interface DiskTree {
  readonly folders: ReadonlyMap<string, number>;
  readonly files: ReadonlyMap<string, { readonly content: Buffer; readonly mode: number }>;
}

/** What becomes of a change that no sync had confirmed when the power went. */
export type Fate = 'kept' | 'lost' | 'torn';

/** Decides over unconfirmed changes, in the log's order; a torn change of names is a lost one. */
export type Fates = (op: LoggedOp) => Fate;

/**
 * What a disk may hold after the power went, by the weakest rules that file systems keep to (Pillai et al., "All File
 * Systems Are Not Created Equal", OSDI 2014): data is there when a sync of its file has succeeded since, a name when a
 * sync of its folder has; each of the other changes is there, or not, or in part, whatever came before or after it. A
 * rename is whole or not at all. Throws where the log holds what cannot be followed.
 */
export function afterPowerLoss(base: DiskTree, ops: readonly LoggedOp[], fates: Fates, tear: Tear): DiskTree {
  const confirmed = confirmedIn(ops);
  const names = new Map([...base.files.keys()].map((path) => [path, path]));
  const folders = new Map(base.folders);
  const modes = new Map([...base.files].map(([path, { mode }]) => [path, mode]));
  const data = new Map([...base.files].map(([path, { content }]) => [path, content]));
  for (const op of ops) {
    const { what } = op;
    if (what.op === 'unknown') throw new Error(`the disk's seam does not know ${what.call}`);
    if (what.op === 'create') modes.set(what.id, what.mode);
    if (!isChange(op)) continue;
    const fate = confirmed(op) ? 'kept' : fates(op);
    if (fate === 'lost') continue;
    if (what.op === 'write') {
      const bytes = fate === 'torn' ? tear(op.body) : op.body;
      data.set(what.id, written(data.get(what.id), what.at, bytes));
    } else if (what.op === 'truncate') {
      if (fate === 'kept') data.set(what.id, cut(data.get(what.id), what.size));
    } else if (fate === 'kept') rename(what, names, folders);
  }
  return gather(names, folders, modes, data);
}

/** Makes of bytes whose write was under way what is found of them. */
export type Tear = (bytes: Buffer) => Buffer;

function isChange({ what }: LoggedOp): boolean {
  return !/^(sync|folder)-/.test(what.op);
}

function isData({ what }: LoggedOp): boolean {
  return what.op === 'write' || what.op === 'truncate';
}

/** What a change waits for: a sync of its file, or of the folder that it is about. */
function placeOf({ what }: LoggedOp): string {
  if ('id' in what && (what.op === 'write' || what.op === 'truncate')) return `file ${what.id}`;
  return `folder ${'path' in what ? dirname(what.path) : ''}`;
}

function confirmedIn(ops: readonly LoggedOp[]): (op: LoggedOp) => boolean {
  const upTo = new Map<string, number>();
  for (const { what } of ops) {
    if (what.op !== 'sync-end' && what.op !== 'folder-end') continue;
    const place = what.op === 'sync-end' ? `file ${what.id}` : `folder ${what.path}`;
    upTo.set(place, Math.max(upTo.get(place) ?? -1, what.began));
  }
  return (op) => op.index < (upTo.get(placeOf(op)) ?? -1);
}

/**
 * Changes that nobody can yet have been told are safe: a sync that would confirm them is under way, or they were made in
 * the last `graceMs` before the end, when there was no time to ask for one.
 */
export function stillUnderWay(
  ops: readonly LoggedOp[],
  endMs: number,
  graceMs: number,
): (op: LoggedOp) => boolean {
  const begun = new Map<string, number>();
  const ended = new Set<number>();
  for (const { what } of ops) {
    if (what.op === 'sync-end' || what.op === 'folder-end') ended.add(what.began);
  }
  for (const { what, index } of ops) {
    if (ended.has(index)) continue;
    if (what.op === 'sync-begin') begun.set(`file ${what.id}`, index);
    if (what.op === 'folder-begin') begun.set(`folder ${what.path}`, index);
  }
  return (op) => op.atMs >= endMs - graceMs || op.index < (begun.get(placeOf(op)) ?? -1);
}

function written(before: Buffer | undefined, at: number, bytes: Buffer): Buffer {
  const content = Buffer.alloc(Math.max(before?.length ?? 0, at + bytes.length));
  before?.copy(content);
  bytes.copy(content, at);
  return content;
}

function cut(before: Buffer | undefined, size: number): Buffer {
  const content = Buffer.alloc(size);
  before?.copy(content, 0, 0, size);
  return content;
}

function rename(what: LoggedOp['what'], names: Map<string, string>, folders: Map<string, number>): void {
  switch (what.op) {
    case 'create':
    case 'link':
      names.set(what.path, what.id);
      break;
    case 'rename':
      names.set(what.path, what.id);
      if (names.get(what.from) === what.id) names.delete(what.from);
      break;
    case 'unlink':
      if (names.get(what.path) === what.id) names.delete(what.path);
      break;
    case 'mkdir':
      folders.set(what.path, what.mode);
      break;
    case 'rmdir':
      folders.delete(what.path);
      break;
    default:
  }
}

/** A name in a folder that is not there is not there either. */
function gather(
  names: ReadonlyMap<string, string>,
  folders: ReadonlyMap<string, number>,
  modes: ReadonlyMap<string, number>,
  data: ReadonlyMap<string, Buffer>,
): DiskTree {
  const reachable = (path: string): boolean =>
    path === '.' || (folders.has(path) && reachable(dirname(path)));
  const files = new Map<string, { content: Buffer; mode: number }>();
  for (const [path, id] of names) {
    if (!reachable(dirname(path))) continue;
    files.set(path, { content: data.get(id) ?? Buffer.alloc(0), mode: modes.get(id) ?? 0o600 });
  }
  return { folders: new Map([...folders].filter(([path]) => reachable(path))), files };
}

/** Unconfirmed changes: all gone, all there, or each by the throw of a coin; `random` gives 0 to below 1. */
export function drawFates(random: () => number): { readonly how: string; readonly fates: Fates } {
  const how = (['all lost', 'in order', 'any'] as const)[Math.floor(random() * 3)] ?? 'any';
  if (how === 'all lost') return { how, fates: () => 'lost' };
  if (how === 'any') {
    return { how, fates: (op) => (random() < 0.4 ? 'lost' : isData(op) && random() < 0.5 ? 'torn' : 'kept') };
  }
  // What a journal does: up to some place all, the change there in part, nothing after.
  let going = true;
  return {
    how,
    fates(op) {
      if (!going) return 'lost';
      going = random() < 0.7;
      return going || !isData(op) ? 'kept' : 'torn';
    },
  };
}

/** A part of the bytes from the front, or all of them with sectors that never came; 512 bytes are written at once. */
export function tearWith(random: () => number): Tear {
  return (bytes) => {
    if (random() < 0.5) return bytes.subarray(0, Math.floor(random() * bytes.length));
    const torn = Buffer.from(bytes);
    for (let at = 0; at < torn.length; at += 512)
      if (random() < 0.3) torn.fill(0, at, Math.min(at + 512, torn.length));
    return torn;
  };
}
