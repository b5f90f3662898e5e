import { resultKey } from '../flow/spool-witness.ts';
import type { ChaosNetwork } from './network.ts';

/** Keys of the results table, of slots at or after an instant in epoch microseconds. */
export async function storedKeys(network: ChaosNetwork, sinceUs: number): Promise<ReadonlySet<string>> {
  const rows = await network.db().many<{
    endpointId: number;
    regionId: number;
    probeId: number;
    scheduledAt: number;
  }>(
    `select endpoint_id as "endpointId", region_id as "regionId", probe_id as "probeId",
            (extract(epoch from scheduled_at) * 1000000)::int8 as "scheduledAt"
     from results where scheduled_at >= to_timestamp($1::float8 / 1000000)`,
    [sinceUs],
  );
  return new Set(rows.map(resultKey));
}
