import type { Sql } from './database.ts';

/** As good as any number, and nobody else's here. */
const endpointsLock = 7_125_306_410;

/**
 * Lets one transaction at a time write endpoints, and gives it its instant (epoch microseconds): later than that of
 * every change before it, whatever the clocks say. So whoever has read up to an instant has missed nothing before it.
 * Fails with 55P03 where others keep it waiting too long.
 */
export async function lockEndpoints(sql: Sql, patienceMs: number): Promise<number> {
  await sql.run("select set_config('lock_timeout', $1::text, true)", [`${patienceMs}ms`]);
  await sql.run('select pg_advisory_xact_lock($1::int8)', [endpointsLock]);
  const { at } = await sql.one<{ at: number }>(
    `select greatest(
       (extract(epoch from clock_timestamp()) * 1000000)::int8,
       (select (extract(epoch from max(changed_at)) * 1000000)::int8 + 1 from endpoints)) as at`,
  );
  return at;
}
