import type { Sql } from './database.ts';

/** The hub's own memory across restarts and replicas; null where nothing was noted. */
export async function readHubNote(sql: Sql, key: string): Promise<unknown> {
  const row = await sql.maybeOne<{ value: unknown }>('select value from hub_notes where key = $1::text', [
    key,
  ]);
  return row?.value ?? null;
}

export async function writeHubNote(sql: Sql, key: string, value: object): Promise<void> {
  await sql.run(
    `insert into hub_notes (key, value) values ($1::text, $2::jsonb)
     on conflict (key) do update set value = excluded.value, changed_at = now()`,
    [key, JSON.stringify(value)],
  );
}
