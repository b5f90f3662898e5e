import type { Sql } from './database.ts';

/** True once for each key, over all replicas and restarts: for whoever writes the note. */
export async function claimNote(sql: Sql, key: string, value: unknown = true): Promise<boolean> {
  const written = await sql.run(
    'insert into hub_notes (key, value) values ($1::text, $2::jsonb) on conflict (key) do nothing',
    [key, JSON.stringify(value)],
  );
  return written === 1;
}
