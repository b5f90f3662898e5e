import type { Sql } from './database.ts';

export interface RegionRow {
  readonly id: number;
  readonly name: string;
}

/** The region with this name, made if it is new. */
export async function ensureRegion(sql: Sql, name: string): Promise<RegionRow & { readonly made: boolean }> {
  // Looked for first: an insert that meets a conflict uses up an id, and there are 32,767 of them.
  const known = await selectRegion(sql, name);
  if (known) return { ...known, made: false };
  const made = await sql.maybeOne<RegionRow>(
    'insert into regions (name) values ($1::text) on conflict (name) do nothing returning id, name',
    [name],
  );
  if (made) return { ...made, made: true };
  const theirs = await selectRegion(sql, name);
  if (!theirs) throw new Error(`region ${name} is there and is not`);
  return { ...theirs, made: false };
}

async function selectRegion(sql: Sql, name: string): Promise<RegionRow | null> {
  return sql.maybeOne<RegionRow>('select id, name from regions where name = $1::text', [name]);
}
