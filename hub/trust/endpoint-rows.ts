import { canonicalJson } from '../../shared/assignment.ts';
import type { EndpointRow } from '../store/endpoint-row.ts';
import { type RowField, rowMac, rowMacHolds } from './row-mac.ts';

/** Every field: what is checked, how, from where, with which secrets, and whether at all. */
function fieldsOf(row: Omit<EndpointRow, 'mac'>): RowField[] {
  const { id, name, rev, spec, sealed, source, changedAtUs, deleted } = row;
  return [id, name, rev, canonicalJson(spec), canonicalJson(sealed), source, changedAtUs, deleted ? 1 : 0];
}

export function signEndpointRow(hmac: Uint8Array, row: Omit<EndpointRow, 'mac'>): EndpointRow {
  return { ...row, mac: rowMac(hmac, 'endpoint', fieldsOf(row)) };
}

/** False for a row that the hub did not write: one made or changed by SQL never reaches a probe. */
export function endpointRowHolds(hmac: Uint8Array, row: EndpointRow): boolean {
  return rowMacHolds(hmac, 'endpoint', fieldsOf(row), row.mac);
}
