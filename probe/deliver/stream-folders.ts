import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Identity } from '../hub/hub-link.ts';
import { type Head, readHead, writeHead } from '../spool/head-file.ts';

export interface FoundStreams {
  /** The one to go on with: the newest whose head can be read. */
  readonly current: string | null;
  /** Those that are only emptied, each with something in it. */
  readonly old: readonly string[];
}

const streamFolder = /^[0-9a-f]{32}$/;

/** A stream a folder, named by its id. Makes the spool's folder where it is missing. */
export async function findStreams(dir: string, identity: Identity, log: Logger): Promise<FoundStreams> {
  await mkdir(dir, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const old: string[] = [];
  let current: { readonly stream: string; readonly madeAt: number } | null = null;
  for (const stream of (await readdir(dir)).filter((name) => streamFolder.test(name)).sort()) {
    const folder = join(dir, stream);
    const head = await readHead(folder);
    if (head && isForeign(head, identity)) {
      log.error(
        { stream, probeId: head.probeId },
        'a spool of another probe lies here: it is removed, since nobody can speak for that probe any more',
      );
      await rm(folder, { recursive: true, force: true });
    } else if (head && !head.closed) {
      const newer = !current || head.madeAt > current.madeAt;
      if (newer && current) old.push(current.stream);
      if (newer) current = { stream, madeAt: head.madeAt };
      else old.push(stream);
    } else if (head || (await holdsSegments(folder))) old.push(stream);
    else await rm(folder, { recursive: true, force: true });
  }
  return { current: current?.stream ?? null, old };
}

function isForeign(head: Head, { kid, probeId, region }: Identity): boolean {
  return head.kid !== kid || head.probeId !== probeId || head.regionId !== region.id;
}

async function holdsSegments(folder: string): Promise<boolean> {
  return (await readdir(folder)).some((name) => /^(sealed|journal)-/.test(name));
}

/** A new stream's id; its folder is on disk. */
export async function makeStream(dir: string, identity: Identity, madeAt: number): Promise<string> {
  const stream = randomBytes(16).toString('hex');
  const { probeId, kid, region } = identity;
  await mkdir(join(dir, stream), { mode: 0o700 });
  const owner = { probeId, regionId: region.id, kid };
  await writeHead(join(dir, stream), {
    ...owner,
    madeAt,
    reservedTo: 0,
    durable: 0,
    dropped: 0,
    closed: false,
  });
  return stream;
}

export async function removeStream(dir: string, stream: string): Promise<void> {
  await rm(join(dir, stream), { recursive: true, force: true });
}
