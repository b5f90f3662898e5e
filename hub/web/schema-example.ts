import type { OpenApiDocument, OpenApiSchema } from '../api/openapi.ts';

const mostDeep = 8;

/** A value that a schema describes, for readers: its own example where it has one, else the plainest there is. */
export function schemaExample(
  document: OpenApiDocument,
  schema: OpenApiSchema | undefined,
  depth = 0,
): unknown {
  if (!schema || depth > mostDeep) return null;
  if (schema.$ref !== undefined) {
    return schemaExample(document, document.components.schemas[nameOfRef(schema.$ref)], depth + 1);
  }
  const given = [schema.example, schema.examples?.[0], schema.const, schema.default, schema.enum?.[0]];
  const known = given.find((value) => value !== undefined);
  if (known !== undefined) return known;
  const parts = schema.allOf;
  if (parts) return Object.assign({}, ...parts.map((part) => schemaExample(document, part, depth + 1)));
  const choice = (schema.anyOf ?? schema.oneOf)?.find(({ type }) => type !== 'null');
  if (choice) return schemaExample(document, choice, depth + 1);
  const type = typeof schema.type === 'string' ? schema.type : schema.type?.find((each) => each !== 'null');
  switch (type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([name, property]) => [
          name,
          schemaExample(document, property, depth + 1),
        ]),
      );
    case 'array':
      return [schemaExample(document, schema.items, depth + 1)];
    case 'integer':
    case 'number':
      return schema.minimum ?? 1;
    case 'boolean':
      return true;
    case 'string':
      return schema.format === 'uuid' ? '5f0c6a2e-6f0e-4b68-9d6e-0a5b7f1d3c11' : '…';
    default:
      return null;
  }
}

export function nameOfRef(ref: string): string {
  return ref.slice(ref.lastIndexOf('/') + 1);
}

/** 'integer, 1 to 1000, default 100' */
export function schemaWords(schema: OpenApiSchema | undefined): string {
  if (!schema) return '';
  const { minimum: least, maximum: most, enum: choices, default: usual } = schema;
  const type =
    typeof schema.type === 'string'
      ? schema.type
      : schema.type?.filter((each) => each !== 'null').join(' or ');
  const bounded = most !== undefined && most < Number.MAX_SAFE_INTEGER;
  return [
    choices ? choices.join(', ') : type,
    bounded ? `${least ?? 0} to ${most}` : null,
    usual === undefined ? null : `default ${String(usual)}`,
  ]
    .filter((word) => word !== null && word !== undefined && word !== '')
    .join(', ');
}
