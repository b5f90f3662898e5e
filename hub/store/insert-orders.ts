import type { Sql } from './database.ts';

export interface OrderRow {
  readonly id: string;
  readonly probeId: number;
  readonly regionId: number;
  readonly content: string;
}

/** All of one order, for so many milliseconds from now; what is older than a minute goes. */
export async function insertOrders(
  sql: Sql,
  rows: readonly OrderRow[],
  askedBy: string,
  forMs: number,
): Promise<void> {
  await sql.run(`delete from orders where asked_at < clock_timestamp() - interval '1 minute'`);
  await sql.run(
    `insert into orders (id, probe_id, region_id, asked_by, until, content)
     select row->>'id', (row->>'probeId')::int8, (row->>'regionId')::int2, $2::text,
       clock_timestamp() + $3::float8 * interval '1 millisecond', row->>'content'
     from jsonb_array_elements($1::jsonb) as given (row)`,
    [JSON.stringify(rows), askedBy, forMs],
  );
}
