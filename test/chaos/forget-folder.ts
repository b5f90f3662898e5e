import { realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Where root runs the network its database lies elsewhere, behind a link. */
export async function forgetFolder(folder: string): Promise<void> {
  const postgres = await realpath(join(folder, 'network/postgres')).catch(() => null);
  if (postgres !== null) await rm(postgres, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
}
