import { cp, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readMigrations } from '../../../hub/store/migrations.ts';
import { root } from '../../harness/imports.ts';
import { crashMark, crashPointPatches } from './crash-points.ts';
import { buildPatched, type Patch } from './patch.ts';

export interface CrashBuildOptions {
  /** Beside the crash points. */
  readonly patches?: readonly Patch[];
  /** As if it were the release before: it knows one migration less. */
  readonly withoutNewestMigration?: boolean;
}

/** Bundles with crash points in `outdir`, marked as such. */
export async function buildWithCrashPoints(outdir: string, options: CrashBuildOptions = {}): Promise<void> {
  await buildPatched(outdir, [...crashPointPatches, ...(options.patches ?? [])]);
  await writeFile(join(outdir, crashMark), '');
  if (options.withoutNewestMigration) await forgetNewest(join(outdir, 'migrations'));
}

async function forgetNewest(folder: string): Promise<void> {
  const from = join(root, 'migrations');
  const newest = (await readMigrations(from)).at(-1);
  await unlink(folder).catch(() => undefined);
  await cp(from, folder, { recursive: true });
  const prefix = String(newest?.version ?? 0).padStart(4, '0');
  for (const kind of ['update', 'rollback']) await rm(join(folder, `${prefix}_${newest?.name}_${kind}.sql`));
}
