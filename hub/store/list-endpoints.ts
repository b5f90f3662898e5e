import type { Sql } from './database.ts';
import { type EndpointRow, endpointColumns } from './endpoint-row.ts';

export interface EndpointFilter {
  /** All of them, each name with its value; null for any value. */
  readonly tags: readonly { readonly name: string; readonly value: string | null }[];
  /** Part of the name, in any case. */
  readonly name: string | null;
  /** Checked from one of them; null for anywhere. */
  readonly regions: readonly string[] | null;
  /** Only what comes after this name. */
  readonly after: string | null;
  readonly limit: number;
}

/** One page in the order of names (by code point, whatever the database's locale); deleted ones are left out. */
export function listEndpoints(sql: Sql, filter: EndpointFilter): Promise<EndpointRow[]> {
  const { tags, name, regions, after, limit } = filter;
  const exact = Object.fromEntries(
    tags.flatMap((tag) => (tag.value === null ? [] : [[tag.name, tag.value]])),
  );
  const named = tags.flatMap((tag) => (tag.value === null ? [tag.name] : []));
  // What is not asked for is null and falls out of the plan; an empty one would be taken for a rare one, and the walk
  // along the names for dearer than reading and sorting all of them.
  return sql.many<EndpointRow>(
    `select ${endpointColumns} from endpoints
     where deleted_at is null
       and ($1::text is null or name collate "C" > $1::text)
       and ($2::text is null or position(lower($2::text) in lower(name)) > 0)
       and ($3::jsonb is null or spec -> 'tags' @> $3::jsonb)
       and ($4::text[] is null or spec -> 'tags' ?& $4::text[])
       and ($5::text[] is null or spec -> 'regions' = '[]' or spec -> 'regions' ?| $5::text[])
     order by name collate "C" limit $6::int4`,
    [
      after,
      name,
      Object.keys(exact).length > 0 ? JSON.stringify(exact) : null,
      named.length > 0 ? named : null,
      regions,
      limit,
    ],
  );
}
