import { randomUUID } from 'node:crypto';
import { insertProbe, nextProbeId } from '../../../hub/store/insert-probe.ts';
import { signProbeRow } from '../../../hub/trust/probe-rows.ts';
import type { HubScene } from '../hub-scene.ts';
import { newKey } from '../trust/scene.ts';

/** A probe that the hub trusts, without one that runs; its region is made where it is new. */
export async function enrollOne(hub: HubScene, region: string, name: string): Promise<number> {
  const { id: regionId } = await hub.db.one<{ id: number }>(
    'insert into regions (name) values ($1) on conflict (name) do update set name = excluded.name returning id',
    [region],
  );
  const key = newKey();
  const id = await nextProbeId(hub.db);
  const row = {
    id,
    name,
    regionId,
    region,
    publicKey: key.jwk.x,
    thumbprint: key.kid,
    status: 'active',
    enrollment: randomUUID(),
  } as const;
  await insertProbe(hub.db, signProbeRow(hub.keys.hmac, row));
  return id;
}
