/**
 * What a process asks of a disk, in order, as test/chaos/preload/record-disk.ts writes it down. Paths are relative to
 * the watched folder; `id` names a file whatever it is called at the time.
 */
export type DiskOp =
  /** A new name for a new file; `mode` are its permission bits. */
  | { readonly op: 'create'; readonly path: string; readonly id: string; readonly mode: number }
  | { readonly op: 'link'; readonly path: string; readonly id: string }
  | { readonly op: 'rename'; readonly from: string; readonly path: string; readonly id: string }
  | { readonly op: 'unlink'; readonly path: string; readonly id: string }
  | { readonly op: 'mkdir'; readonly path: string; readonly mode: number }
  | { readonly op: 'rmdir'; readonly path: string }
  /** The bytes follow in the log. */
  | { readonly op: 'write'; readonly id: string; readonly at: number }
  | { readonly op: 'truncate'; readonly id: string; readonly size: number }
  /** A sync of a file was asked for; what was logged before it is what it is about. */
  | { readonly op: 'sync-begin'; readonly id: string }
  /** It succeeded: all of that file's data up to the sync's own beginning is on disk. */
  | { readonly op: 'sync-end'; readonly id: string; readonly began: number }
  /** The same of a folder: the names in it. */
  | { readonly op: 'folder-begin'; readonly path: string }
  | { readonly op: 'folder-end'; readonly path: string; readonly began: number }
  /** Something that the recorder cannot follow: what comes out of a log with one would be worth nothing. */
  | { readonly op: 'unknown'; readonly call: string };

export interface LoggedOp {
  /** Its place in the log, from 0. */
  readonly index: number;
  /** Epoch milliseconds. */
  readonly atMs: number;
  readonly what: DiskOp;
  readonly body: Buffer;
}

const headBytes = 8;

export function encodeOp(what: DiskOp, atMs: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.from(JSON.stringify({ atMs, what }));
  const sizes = Buffer.alloc(headBytes);
  sizes.writeUInt32BE(head.length, 0);
  sizes.writeUInt32BE(body.length, 4);
  return Buffer.concat([sizes, head, body]);
}

/** A last entry that was cut off by the process's end is left out: what it told of was never answered. */
export function decodeOps(log: Buffer): LoggedOp[] {
  const ops: LoggedOp[] = [];
  let at = 0;
  while (at + headBytes <= log.length) {
    const headEnd = at + headBytes + log.readUInt32BE(at);
    const end = headEnd + log.readUInt32BE(at + 4);
    if (end > log.length) break;
    const { atMs, what } = JSON.parse(log.toString('utf8', at + headBytes, headEnd));
    ops.push({ index: ops.length, atMs, what, body: log.subarray(headEnd, end) });
    at = end;
  }
  return ops;
}
