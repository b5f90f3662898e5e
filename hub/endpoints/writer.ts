import { Problem } from '../problem.ts';
import type { EndpointRow } from '../store/endpoint-row.ts';

/** Who writes: for the audit log, and for what it may touch. */
export interface Writer {
  readonly actor: string;
  /** The only regions it may touch; null for all. */
  readonly regions: readonly string[] | null;
  readonly remoteIp: string;
}

/** A token for some regions touches only endpoints of those, before and after. Throws Problem 403. */
export function requireRegions(
  { regions }: Writer,
  { before, after }: { readonly before: EndpointRow | null; readonly after: EndpointRow },
): void {
  for (const row of before ? [before, after] : [after]) requireRegionsOf(regions, row);
}

export function requireRegionsOf(regions: Writer['regions'], { name, spec }: EndpointRow): void {
  if (!regions) return;
  const asked: readonly string[] = Array.isArray(spec?.regions) ? spec.regions : [];
  const other = asked.find((region) => !regions.includes(region));
  if (asked.length > 0 && other === undefined) return;
  const from = other === undefined ? 'every region' : `the region ${other}`;
  const detail = `'${name}' is checked from ${from}, this token is for ${regions.join(', ')} only`;
  throw new Problem(403, 'auth.region', detail);
}
