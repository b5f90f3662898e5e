import type { HubClient, Query } from './hub-client.ts';

/** All pages of a list that the API gives by cursor, as one. */
export async function everyPage<Name extends string, Item>(
  hub: HubClient,
  path: string,
  name: Name,
  query: Query = {},
): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | undefined;
  for (;;) {
    type Page = { readonly [key in Name]: readonly Item[] } & { readonly cursor: string | null };
    const page: Page = await hub.get<Page>(path, { ...query, limit: 1000, cursor });
    items.push(...page[name]);
    if (page.cursor === null) return items;
    cursor = page.cursor;
  }
}
