import type { ProbeRow } from '../store/probe-row.ts';
import { rowMac, rowMacHolds } from './row-mac.ts';

/** Every field that decides whom we believe: with the region's name too, since endpoints name regions by it. */
function fieldsOf(probe: Omit<ProbeRow, 'mac'>) {
  const { id, name, regionId, region, publicKey, thumbprint, status, enrollment } = probe;
  return [id, name, regionId, region, publicKey, thumbprint, status, enrollment];
}

export function signProbeRow(hmac: Uint8Array, probe: Omit<ProbeRow, 'mac'>): ProbeRow {
  return { ...probe, mac: rowMac(hmac, 'probe', fieldsOf(probe)) };
}

export function probeRowHolds(hmac: Uint8Array, probe: ProbeRow): boolean {
  return rowMacHolds(hmac, 'probe', fieldsOf(probe), probe.mac);
}
