import * as z from 'zod';
import { canonicalJson } from './assignment.ts';
import { type Endpoint, type EndpointDocument, endpointSchemas, protocolOfUrl } from './endpoint.ts';

/** The document without what its defaults say anyway: the form that a person would have written. */
export function shortDocument(document: EndpointDocument): EndpointDocument {
  const { name, url } = document;
  const protocol = protocolOfUrl(url);
  if (protocol === null) return document;
  const schema: z.ZodType<Endpoint, EndpointDocument> = endpointSchemas[protocol];
  const bare = z.encode(schema, schema.parse({ name, url }));
  // Read and written once more, its keys stand in the order of the contract (PostgreSQL's jsonb has one of its own).
  const read = schema.safeParse(document);
  const ordered = read.success ? z.encode(schema, read.data) : document;
  return { name, url, ...without(ordered, { ...bare, name, url }) };
}

function without(value: Readonly<Record<string, unknown>>, defaults: Readonly<Record<string, unknown>>) {
  const left = Object.entries(value).flatMap(([key, inner]): [string, unknown][] => {
    const fallback = Object.hasOwn(defaults, key) ? defaults[key] : undefined;
    if (fallback === undefined) return [[key, inner]];
    if (canonicalJson(inner) === canonicalJson(fallback)) return [];
    return [[key, isRecord(inner) && isRecord(fallback) ? without(inner, fallback) : inner]];
  });
  return Object.fromEntries(left);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
