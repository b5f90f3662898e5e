import * as z from 'zod';
import {
  type Endpoint,
  type EndpointDocument,
  endpointSchemas,
  protocolOfUrl,
} from '../../shared/endpoint.ts';
import type { ProtocolName } from '../../shared/protocols.ts';

const maxShared = 10_000;

/**
 * Reads stored documents. Most of many endpoints differ in name, url and tags alone: the rest is read once and shared,
 * which makes 100,000 of them small (they must not be changed) and quick to read. Throws ZodError for a document that
 * this version does not understand.
 */
export function createDecoder(): (spec: EndpointDocument) => Endpoint {
  let shared = new Map<string, Endpoint>();
  return (spec) => {
    const { name, url, tags = {}, ...rest } = spec;
    const protocol = protocolOfUrl(url);
    const key = `${protocol} ${JSON.stringify(rest)}`;
    let whole = shared.get(key);
    if (!whole) {
      whole = schemaOf(protocol, url).parse(spec);
      if (shared.size >= maxShared) shared = new Map();
      shared.set(key, whole);
    }
    return { ...whole, name, url, tags };
  };
}

/** The way back: a document with every default, in the form that is stored. */
export function encodeEndpoint(endpoint: Endpoint): EndpointDocument {
  return z.encode(schemaOf(protocolOfUrl(endpoint.url), endpoint.url), endpoint);
}

function schemaOf(protocol: ProtocolName | null, url: string): z.ZodType<Endpoint, EndpointDocument> {
  if (protocol === null) throw new Error(`no protocol is known for ${url.slice(0, 40)}`);
  return endpointSchemas[protocol];
}
