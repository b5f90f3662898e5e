import type { Sql } from './database.ts';

/** The newest result of one endpoint from one region, as much of it as a page shows. */
export interface LatestResultRow {
  readonly endpointId: number;
  readonly regionId: number;
  /** When it was scheduled, epoch seconds with their fraction. */
  readonly at: number;
  readonly rev: number;
  /** 0 up, 1 degraded, 2 down, 3 skipped */
  readonly outcome: number;
  readonly suspect: boolean;
  readonly status: number | null;
  readonly totalUs: number;
  readonly code: string | null;
  readonly message: string | null;
}

/**
 * All of them, or those that may have been written since the horizon of an earlier read: a result may come late, so
 * that no time in the row tells. Rows of transactions that ran at that read come twice, never not at all.
 * `age` compares transaction ids over their wrap-around; a row of 2^31 transactions ago comes once too often.
 */
export async function listLatestResults(sql: Sql, since: string | null): Promise<LatestResultRow[]> {
  return sql.many<LatestResultRow>(
    `select endpoint_id as "endpointId", region_id as "regionId", date_part('epoch', scheduled_at) as at, rev, outcome,
       suspect, status, total_us as "totalUs", failure_code as code, failure_message as message
     from latest_results
     where $1::text is null or age(xmin) <= age($1::text::xid)`,
    [since],
  );
}

/** Whatever commits from now on bears this transaction id or a later one. */
export async function readHorizon(sql: Sql): Promise<string> {
  const { horizon } = await sql.one<{ horizon: string }>(
    'select pg_snapshot_xmin(pg_current_snapshot())::xid::text as horizon',
  );
  return horizon;
}
