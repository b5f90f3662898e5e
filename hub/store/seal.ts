import type { Sql } from './database.ts';

/** Until when results are sealed, epoch microseconds: what was due before it is refused. Null where nothing was yet. */
export async function readSeal(sql: Sql): Promise<number | null> {
  const row = await sql.maybeOne<{ untilUs: number }>(
    `select (extract(epoch from sealed_until) * 1000000)::int8 as "untilUs" from results_seal`,
  );
  return row?.untilUs ?? null;
}

/** Forward alone: a seal is for ever, whatever retention is set to later. For the transaction that drops what lies before. */
export async function moveSeal(sql: Sql, untilUs: number): Promise<void> {
  await sql.run(
    `insert into results_seal (sealed_until) values ($1::timestamptz)
     on conflict (one) do update set sealed_until = excluded.sealed_until, changed_at = now()
       where results_seal.sealed_until < excluded.sealed_until`,
    [new Date(untilUs / 1000)],
  );
}
