/**
 * The one order in which regions are drawn anywhere: by name, digits as numbers. (West to east needs places, which
 * regions do not have.)
 */
export function inRegionOrder<Region extends { readonly name: string }>(
  regions: readonly Region[],
): Region[] {
  return regions.toSorted((a, b) => compare(a.name, b.name));
}

/** Names as people sort them: `node-9` before `node-10`. */
export const compare = new Intl.Collator('en', { numeric: true }).compare;
