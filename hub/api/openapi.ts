import { Hono } from 'hono';
import type { ApiEnv, apiRouter } from './operator.ts';

/** As much of an OpenAPI 3.1 document as its readers here look at. */
export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly { readonly url: string }[];
  readonly tags: readonly { readonly name: string; readonly description?: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, OpenApiSchema>> };
}

export interface OpenApiOperation {
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema?: OpenApiSchema;
  }[];
  readonly requestBody?: { readonly content?: OpenApiContent };
  readonly responses: Readonly<
    Record<string, { readonly description?: string; readonly content?: OpenApiContent }>
  >;
}

export type OpenApiContent = Readonly<Record<string, { readonly schema?: OpenApiSchema }>>;

export interface OpenApiSchema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly example?: unknown;
  readonly examples?: readonly unknown[];
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, OpenApiSchema>>;
  readonly additionalProperties?: boolean | OpenApiSchema;
  readonly items?: OpenApiSchema;
  readonly anyOf?: readonly OpenApiSchema[];
  readonly oneOf?: readonly OpenApiSchema[];
  readonly allOf?: readonly OpenApiSchema[];
}

const description = `The API of one Parallax hub. Send an API token as \`Authorization: Bearer plx_…\`
(\`parallax tokens create\` makes one). Errors are problem documents (RFC 9457) with a stable \`code\`; every answer has an
\`X-Request-Id\`, which the hub's log has too. Lists come in pages: pass the \`cursor\` of a page on to get the next.`;

const problemSchema: OpenApiSchema = {
  type: 'object',
  properties: {
    type: { type: 'string', example: 'urn:parallax:problem:auth.scope' },
    title: { type: 'string', example: 'Forbidden' },
    status: { type: 'integer', example: 403 },
    detail: { type: 'string', example: 'this takes a token with the scope admin' },
    code: { type: 'string', example: 'auth.scope', description: 'Stable: what a program may decide by' },
    requestId: { type: 'string', example: '5f0c6a2e-6f0e-4b68-9d6e-0a5b7f1d3c11' },
    errors: {
      type: 'array',
      description: 'One entry a fault, where a request has several',
      items: {
        type: 'object',
        properties: { path: { type: 'string' }, message: { type: 'string' } },
      },
    },
  },
};

/** What all routes share is said once here: where it is, who may come in, how errors look. */
export function openApiDocument(
  api: ReturnType<typeof apiRouter>,
  publicUrl: string,
  version: string,
): OpenApiDocument {
  const made = api.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Parallax', version, description, license: { name: 'Apache-2.0' } },
    servers: [{ url: publicUrl }],
    security: [{ token: [] }, { session: [] }],
  }) as unknown as OpenApiDocument;
  const answersProblem = {
    description: 'What went wrong',
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  };
  const paths = Object.fromEntries(
    Object.entries(made.paths).map(([path, operations]) => [
      path,
      Object.fromEntries(
        Object.entries(operations).map(([method, operation]) => [
          method,
          {
            ...operation,
            operationId: operationId(method, path),
            responses: { ...operation.responses, default: answersProblem },
          },
        ]),
      ),
    ]),
  );
  const names = new Set(
    Object.values(paths).flatMap((each) => Object.values(each).flatMap(({ tags }) => tags ?? [])),
  );
  return {
    ...made,
    tags: [...names].sort().map((name) => ({ name })),
    paths,
    components: {
      ...made.components,
      schemas: { ...made.components?.schemas, Problem: problemSchema },
      ...{
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'An API token: plx_…' },
          session: {
            type: 'apiKey',
            in: 'cookie',
            name: '__Host-parallax',
            description: 'A browser that signed in',
          },
        },
      },
    },
  };
}

function operationId(method: string, path: string): string {
  const words = path.replace(/^\/api\/v1\//, '').split(/[^A-Za-z0-9]+/);
  return [method, ...words.filter((word) => word !== '')].join('_');
}

/** GET /openapi.json: open to all, since it says nothing of what is checked. */
export function openApiRoutes(document: OpenApiDocument): Hono<ApiEnv> {
  const body = JSON.stringify(document, null, 1);
  const app = new Hono<ApiEnv>();
  app.get('/openapi.json', (context) =>
    context.body(body, 200, { 'content-type': 'application/json', 'cache-control': 'public, no-cache' }),
  );
  return app;
}
