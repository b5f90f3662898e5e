import type { Logger } from 'pino';
import { ed25519PublicKey } from '../../shared/signing.ts';
import type { ProbeRow } from '../store/probe-row.ts';
import type { HubKeys } from './keys.ts';
import { probeRowHolds } from './probe-rows.ts';
import type { RegisteredProbe } from './registry.ts';

/** A row as it was judged, so that only what changed is judged again. */
export interface JudgedProbe {
  /** Null where the hub did not write this row. */
  readonly probe: RegisteredProbe | null;
  readonly mac: Buffer;
  /** All the HMAC covers. */
  readonly content: string;
}

/** Checks rows against their HMAC; one that does not hold is told of once, until it changes. */
export function createProbeJudge(keys: Pick<HubKeys, 'hmac'>, log: Pick<Logger, 'error'>) {
  return (row: ProbeRow, before: JudgedProbe | undefined): JudgedProbe => {
    const { id, name, regionId, region, publicKey, thumbprint, status, enrollment } = row;
    const mac = Buffer.from(row.mac);
    const content = JSON.stringify([name, regionId, region, publicKey, thumbprint, status, enrollment]);
    if (before && before.content === content && before.mac.equals(mac)) return before;
    if (!probeRowHolds(keys.hmac, row)) {
      log.error({ probe: id, name, region }, 'a probe in the database was not written by the hub: left out');
      return { mac, content, probe: null };
    }
    const key = ed25519PublicKey(publicKey);
    return { mac, content, probe: { id, name, regionId, kid: thumbprint, publicKey: key, status } };
  };
}
