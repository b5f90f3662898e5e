import { statfs } from 'node:fs/promises';
import type { Database } from '../store/database.ts';
import { readDataDirectory } from '../store/database-facts.ts';
import type { ReplicaReport } from './replica-report.ts';

/** Of the disk on which a PostgreSQL of this machine keeps its files; null for one elsewhere, or that does not say. */
export async function databaseDisk(db: Database, url: string): Promise<ReplicaReport['disk']> {
  if (!isHere(url)) return null;
  try {
    const path = await readDataDirectory(db);
    if (path === null) return null;
    const { bavail, blocks, bsize } = await statfs(path);
    return { path, freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  } catch {
    // A path of another namespace, such as a container's.
    return null;
  }
}

function isHere(url: string): boolean {
  const { hostname, searchParams } = new URL(url);
  const host = searchParams.get('host') ?? hostname;
  return host === '' || host.startsWith('/') || /^(localhost|127\..*|\[::1\]|::1)$/.test(host);
}
