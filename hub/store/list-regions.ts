import type { Sql } from './database.ts';
import type { RegionRow } from './ensure-region.ts';

export async function listRegions(sql: Sql): Promise<RegionRow[]> {
  return sql.many<RegionRow>('select id, name from regions order by id');
}

export interface RegionCounts extends RegionRow {
  /** Epoch milliseconds. */
  readonly createdAt: number;
  readonly active: number;
  readonly pending: number;
}

/** With how many probes each has, by name. */
export async function listRegionCounts(sql: Sql): Promise<RegionCounts[]> {
  return sql.many<RegionCounts>(
    `select r.id, r.name, floor(date_part('epoch', r.created_at) * 1000)::int8 as "createdAt",
       count(*) filter (where p.status = 'active') as active,
       count(*) filter (where p.status = 'pending') as pending
     from regions r left join probes p on p.region_id = r.id
     group by r.id order by r.name`,
  );
}
