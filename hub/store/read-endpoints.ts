import { int8Array } from './binary-array.ts';
import type { Sql } from './database.ts';
import { type EndpointRow, endpointColumns } from './endpoint-row.ts';

/** Where reading goes on: after this instant (epoch microseconds) and, within it, after this id. */
export interface EndpointsMark {
  readonly changedAtUs: number;
  readonly id: number;
}

/** In the order of changes. Deleted ones too, so that whoever knows them forgets them. */
export function readChangedEndpoints(sql: Sql, after: EndpointsMark, limit: number): Promise<EndpointRow[]> {
  return sql.many<EndpointRow>(
    `select ${endpointColumns} from endpoints
     where changed_at >= ${instant('$1')} and (changed_at, id) > (${instant('$1')}, $2::int8)
     order by changed_at, id limit $3::int4`,
    [after.changedAtUs, after.id, limit],
  );
}

export function readEndpointsById(sql: Sql, ids: readonly number[]): Promise<EndpointRow[]> {
  return sql.many<EndpointRow>(`select ${endpointColumns} from endpoints where id = any($1::int8[])`, [
    int8Array(ids),
  ]);
}

export interface EndpointVersion {
  readonly id: number;
  readonly rev: number;
  readonly changedAtUs: number;
}

/** What there is, without what it says: all but those that were deleted before an instant. */
export function readEndpointVersions(sql: Sql, deletedAfterUs: number): Promise<EndpointVersion[]> {
  return sql.many<EndpointVersion>(
    `select id, rev, (extract(epoch from changed_at) * 1000000)::int8 as "changedAtUs" from endpoints
     where deleted_at is null or changed_at > ${instant('$1')} order by id`,
    [deletedAfterUs],
  );
}

export interface PastRegions {
  readonly id: number;
  readonly regions: readonly string[];
  /** When the next rev came, epoch microseconds. */
  readonly untilUs: number;
}

/** The regions of revs that were in force after an instant and are no more; of all endpoints, or of some. */
export function readPastRegions(
  sql: Sql,
  inForceAfterUs: number,
  ids: readonly number[] | null,
): Promise<PastRegions[]> {
  return sql.many<PastRegions>(
    `select old.endpoint_id as id, old.spec -> 'regions' as regions,
            (extract(epoch from new.changed_at) * 1000000)::int8 as "untilUs"
     from endpoint_revs old join endpoint_revs new on new.endpoint_id = old.endpoint_id and new.rev = old.rev + 1
     where new.changed_at > ${instant('$1')} and ($2::int8[] is null or new.endpoint_id = any($2::int8[]))
       and new.spec -> 'regions' <> old.spec -> 'regions'`,
    [inForceAfterUs, ids],
  );
}

export async function lastEndpointChange(sql: Sql): Promise<number> {
  const { at } = await sql.one<{ at: number }>(
    `select coalesce((extract(epoch from max(changed_at)) * 1000000)::int8, 0) as at from endpoints`,
  );
  return at;
}

function instant(parameter: string): string {
  return `('epoch'::timestamptz + ${parameter}::int8 * interval '1 microsecond')`;
}
