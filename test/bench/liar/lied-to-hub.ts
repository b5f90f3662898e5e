import { generateKeyPairSync } from 'node:crypto';
import pino from 'pino';
import { createIngest, type Ingest, type IngestOptions } from '../../../hub/ingest/ingest.ts';
import type { Database } from '../../../hub/store/database.ts';
import { startKeeper } from '../../../hub/store/keeper.ts';
import { listProbes } from '../../../hub/store/list-probes.ts';
import type { RegisteredProbe } from '../../../hub/trust/registry.ts';
import { ed25519Thumbprint } from '../../../shared/signing.ts';
import { knownEndpoints, type Speaker } from './lies.ts';

export interface LiedToHub {
  readonly ingest: Ingest;
  speaker(): Promise<Speaker>;
  end(): Promise<void>;
}

/** Ingest over a real database with a registry in memory, whose look reads as many probes as there are. */
export async function openLiedToHub(db: Database, brake?: IngestOptions['brake']): Promise<LiedToHub> {
  const now = () => Date.now() * 1000;
  const log = pino({ level: 'silent' });
  const keeper = await startKeeper({ db, log, now, policy: () => ({ width: 'day', retentionDays: 7 }) });
  const byKid = new Map<string, RegisteredProbe>();
  const regions: ReadonlySet<number> = new Set([1]);
  await db.run(`insert into regions (name) values ('bench') on conflict do nothing`);
  const ingest = createIngest({
    db,
    keeper,
    log,
    now,
    maxRows: 5000,
    maxMs: 20,
    ...(brake && { brake }),
    registry: {
      probeByKid: (kid) => byKid.get(kid),
      probeById: () => undefined,
      regionById: () => undefined,
      regions: () => [],
      regionsOfEndpoint: (id) => (id <= knownEndpoints ? regions : undefined),
      refresh: async () => void (await listProbes(db)),
      stop: () => undefined,
    },
  });
  return {
    ingest,
    async speaker() {
      const { publicKey, privateKey } = generateKeyPairSync('ed25519');
      const x = publicKey.export({ format: 'jwk' }).x ?? '';
      const kid = ed25519Thumbprint(x);
      const { id } = await db.one<{ id: number }>(
        `insert into probes (region_id, name, public_key, thumbprint, status, enrollment, mac)
         values (1, 'bench', $1, $2, 'active', gen_random_uuid(), '') returning id`,
        [x, kid],
      );
      const probe = { id, name: 'bench', regionId: 1, kid, publicKey, status: 'active' as const };
      byKid.set(kid, probe);
      return { probe, privateKey };
    },
    end: () => keeper.stop(),
  };
}
