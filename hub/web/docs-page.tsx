import { Hono } from 'hono';
import type { OpenApiContent, OpenApiDocument, OpenApiOperation } from '../api/openapi.ts';
import type { ApiEnv } from '../api/operator.ts';
import { type AssetFile, createAssets } from './assets.ts';
import { embeddedFiles } from './embedded-files.ts';
import { Layout } from './layout.tsx';
import { schemaExample, schemaWords } from './schema-example.ts';

interface Described {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly operation: OpenApiOperation;
}

/** GET /docs: the OpenAPI document for people, drawn once. No script, no other host. */
export function docsRoutes(
  document: OpenApiDocument,
  files: readonly AssetFile[] = embeddedFiles,
): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  const assets = createAssets(files);
  const page = (
    <Layout
      title="API: Parallax"
      tab="tab.svg"
      at={null}
      health={null}
      againAfter={0}
      assets={assets}
      drawnAt={0}
    >
      <DocsPage document={document} />
    </Layout>
  );
  let drawn: string | null = null;
  app.get('/docs', async (context) => {
    drawn ??= `<!doctype html>${await page}`;
    return context.body(drawn, 200, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'public, no-cache',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types parallax",
    });
  });
  return app;
}

const DocsPage = ({ document }: { document: OpenApiDocument }) => {
  const groups = groupsOf(document);
  return (
    <>
      <div class="lede">
        <div>
          <h1>The API of this hub</h1>
          <p class="long">
            <Prose text={document.info.description} />
          </p>
          <p class="long">
            The same for programs: <a href="/openapi.json">/openapi.json</a>
          </p>
        </div>
      </div>
      <section aria-label="Contents">
        <table class="list">
          <tbody>
            {groups.flatMap(([, operations]) =>
              operations.map(({ id, method, path, operation }) => (
                <tr>
                  <th scope="row">
                    <a href={`#${id}`}>
                      <code>
                        {method} {path}
                      </code>
                    </a>
                  </th>
                  <td>
                    <Prose text={operation.summary ?? ''} />
                  </td>
                </tr>
              )),
            )}
          </tbody>
        </table>
      </section>
      {groups.map(([tag, operations]) => (
        <section>
          <header>
            <h2>{tag}</h2>
          </header>
          {operations.map((each) => (
            <Operation document={document} {...each} />
          ))}
        </section>
      ))}
    </>
  );
};

const Operation = ({ document, id, method, path, operation }: Described & { document: OpenApiDocument }) => {
  const { summary, description, parameters = [], requestBody, responses } = operation;
  const answers = Object.entries(responses).filter(([status]) => status !== 'default');
  return (
    <article class="incident" id={id}>
      <header>
        <h3>
          <Prose text={summary ?? ''} />
        </h3>
        <code>
          {method} {path}
        </code>
      </header>
      {description && (
        <p class="dim">
          <Prose text={description} />
        </p>
      )}
      {parameters.length > 0 && (
        <dl class="dl">
          {parameters.flatMap((parameter) => [
            <dt>
              <code>{parameter.name}</code>
            </dt>,
            <dd>
              {[
                parameter.in === 'query' ? null : `in the ${parameter.in}`,
                schemaWords(parameter.schema),
                parameter.required ? 'required' : null,
                parameter.description ?? parameter.schema?.description ?? null,
              ]
                .filter(Boolean)
                .join('; ')}
            </dd>,
          ])}
        </dl>
      )}
      <Body title="Send" document={document} content={requestBody?.content} />
      {answers.map(([status, answer]) => (
        <Body
          title={[status, answer.description].filter(Boolean).join(': ')}
          document={document}
          content={answer.content}
        />
      ))}
    </article>
  );
};

const Body = (props: { title: string; document: OpenApiDocument; content: OpenApiContent | undefined }) => {
  const [type, body] = Object.entries(props.content ?? {})[0] ?? [];
  if (!type && props.title === 'Send') return null;
  return (
    <>
      <h4 class="sub">{props.title}</h4>
      {type && (
        <pre tabindex={0}>
          <code>{JSON.stringify(schemaExample(props.document, body?.schema), null, 2)}</code>
        </pre>
      )}
    </>
  );
};

/** What stands between backquotes is code. */
const Prose = ({ text }: { text: string }) => (
  <>{text.split('`').map((part, index) => (index % 2 === 1 ? <code>{part}</code> : part))}</>
);

function groupsOf(document: OpenApiDocument): [tag: string, operations: Described[]][] {
  const all = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      id: `${method}-${path.replace(/^\/api\/v1\//, '').replaceAll(/[^A-Za-z0-9]+/g, '-')}`.replace(/-$/, ''),
      method: method.toUpperCase(),
      path,
      operation,
    })),
  );
  return document.tags.map(({ name }) => [
    name,
    all.filter(({ operation }) => operation.tags?.includes(name)),
  ]);
}
