import type { Sql } from './database.ts';
import type { EndpointRow } from './endpoint-row.ts';

/** Ids for endpoints that are to be inserted: their secrets are sealed to them before. */
export async function takeEndpointIds(sql: Sql, count: number): Promise<number[]> {
  if (count === 0) return [];
  const rows = await sql.many<{ id: number }>(
    `select nextval(pg_get_serial_sequence('endpoints', 'id')) as id from generate_series(1, $1::int4)`,
    [count],
  );
  return rows.map(({ id }) => id);
}

/** A name may pass from one endpoint to another in one statement's time: those that lose theirs give it up first. */
export async function vacateNames(sql: Sql, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return;
  // No name begins with a tilde.
  await sql.run(`update endpoints set name = '~' || id where id = any($1::int8[])`, [ids]);
}

export async function insertEndpoints(sql: Sql, rows: readonly EndpointRow[]): Promise<void> {
  await inParts(rows, (part) =>
    sql.run(
      `insert into endpoints (id, name, rev, spec, sealed, source, changed_at, mac)
       overriding system value
       select id, name, rev, spec, sealed, source, ${changedAt}, decode(mac, 'hex') from ${given}`,
      [part],
    ),
  );
}

export async function updateEndpoints(sql: Sql, rows: readonly EndpointRow[]): Promise<void> {
  await inParts(rows, (part) =>
    sql.run(
      `update endpoints e set name = w.name, rev = w.rev, spec = w.spec, sealed = w.sealed, changed_at = ${changedAt},
         deleted_at = case when w.deleted then ${changedAt} end, mac = decode(w.mac, 'hex')
       from ${given} where e.id = w.id`,
      [part],
    ),
  );
}

/** What an endpoint was, for ever: which regions it was checked from, and who changed what. */
export async function insertEndpointRevs(
  sql: Sql,
  rows: readonly EndpointRow[],
  changedBy: string,
): Promise<void> {
  await inParts(rows, (part) =>
    sql.run(
      `insert into endpoint_revs (endpoint_id, rev, spec, sealed, changed_at, changed_by)
       select id, rev, spec, sealed, ${changedAt}, $2::text from ${given}`,
      [part, changedBy],
    ),
  );
}

const given = `jsonb_to_recordset($1::jsonb) as w
  (id int8, name text, rev int4, spec jsonb, sealed jsonb, source text, "changedAtUs" int8, deleted bool, mac text)`;
/** Exact: to_timestamp() takes a float of seconds. */
const changedAt = `'epoch'::timestamptz + w."changedAtUs" * interval '1 microsecond'`;

const rowsAStatement = 2000;

async function inParts(rows: readonly EndpointRow[], run: (json: string) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < rows.length; from += rowsAStatement) {
    const part = rows
      .slice(from, from + rowsAStatement)
      .map((row) => ({ ...row, mac: row.mac.toString('hex') }));
    await run(JSON.stringify(part));
  }
}
