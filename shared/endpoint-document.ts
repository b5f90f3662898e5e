import type * as z from 'zod';
import {
  type DocumentPath,
  type DocumentProblem,
  kindOf,
  nearest,
  pathText,
  problemsOf,
} from './document-problem.ts';
import { type Endpoint, type EndpointDocument, endpointSchemas, protocolOfUrl } from './endpoint.ts';
import { type Environment, resolveReferences } from './endpoint-secrets.ts';
import { knownSchemes } from './protocols.ts';
import { type Position, readYaml, type YamlSource } from './yaml-source.ts';

/** A good document: as written, with references resolved, and as it is meant, with its defaults. */
export interface ValidEndpoint {
  readonly document: EndpointDocument;
  readonly endpoint: Endpoint;
}

/** What is wrong with a file, for the person who wrote it. */
export interface FileProblem {
  readonly file: string;
  /** Null where no place can be told. */
  readonly position: Position | null;
  /** `endpoints[2].request.headrs`; empty where it is the whole file. */
  readonly path: string;
  readonly message: string;
}

export interface FileEndpoint extends ValidEndpoint {
  readonly file: string;
  /** Where this path of the endpoint's document is written. */
  position(path: DocumentPath): Position | null;
}

/**
 * Checks one endpoint as it comes in JSON or from a file; all its problems at once. `env` resolves `${env:NAME}`;
 * null refuses them. No message holds a value that may be a secret.
 */
export function validateEndpoint(
  document: unknown,
  env: Environment | null = null,
): ValidEndpoint | { readonly problems: readonly DocumentProblem[] } {
  if (document === null || typeof document !== 'object' || Array.isArray(document)) {
    const message = `must be a mapping with at least a name and a url, not ${kindOf(document)}`;
    return { problems: [{ path: [], message }] };
  }
  const references = resolveReferences(document, env);
  const problems = [...references.problems];
  const { url } = document as { url?: unknown };
  const protocol = typeof url === 'string' ? protocolOfUrl(url) : 'http';
  const schema: z.ZodType<Endpoint, EndpointDocument> = endpointSchemas[protocol ?? 'http'];
  const read = schema.safeParse(references.document);
  if (!read.success) problems.push(...problemsOf(schema, references.document, read.error.issues));
  if (protocol === null && !problems.some(({ path }) => path[0] === 'url')) {
    problems.push({ path: ['url'], message: unknownScheme(String(url)) });
  }
  problems.push(...unfitTexts(references.document));
  if (problems.length > 0 || !read.success) return { problems: firstOfEach(problems) };
  return { document: references.document as EndpointDocument, endpoint: read.data };
}

/** One problem a place: what is wrong first makes the others follow. */
function firstOfEach(problems: readonly DocumentProblem[]): DocumentProblem[] {
  const first = new Map<string, DocumentProblem>();
  for (const problem of problems) {
    const place = JSON.stringify(problem.path);
    if (!first.has(place)) first.set(place, problem);
  }
  return [...first.values()];
}

function unknownScheme(url: string): string {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(url)?.[1] ?? '';
  const near = nearest(scheme, knownSchemes);
  const meant = near ? `: did you mean '${near}'?` : '';
  return `the scheme '${scheme.slice(0, 30)}' is not known, only ${knownSchemes.join(', ')}${meant}`;
}

const maxDepth = 16;

/** PostgreSQL's jsonb holds neither NUL nor half a surrogate pair; `__proto__` is no name for anything. */
function* unfitTexts(value: unknown, path: DocumentPath = []): Generator<DocumentProblem> {
  if (typeof value === 'string') {
    if (value.includes('\0')) yield { path, message: 'holds a NUL character' };
    else if (!value.isWellFormed()) yield { path, message: 'is not well-formed Unicode' };
  } else if (value !== null && typeof value === 'object' && path.length < maxDepth) {
    for (const [key, inner] of Object.entries(value)) {
      const step = Array.isArray(value) ? Number(key) : key;
      if (key === '__proto__') yield { path: [...path, key], message: 'is not a name' };
      else yield* unfitTexts(inner, [...path, step]);
    }
  }
}

/** Endpoints that stand in one list: a name must stand there once. Paths begin with the place in the list. */
export function* repeatedNames(endpoints: readonly { readonly name: string }[]): Generator<DocumentProblem> {
  const seen = new Map<string, number>();
  for (const [index, { name }] of endpoints.entries()) {
    const first = seen.get(name);
    if (first === undefined) seen.set(name, index);
    else yield { path: [index, 'name'], message: `'${name}' is the name of endpoints[${first}] already` };
  }
}

/**
 * Reads a file of endpoints, YAML or JSON: `endpoints:` and a list; keys that begin with `x-` are left alone (a place
 * for anchors). All problems at once, in the order of the file.
 */
export function parseEndpointFile(
  text: string,
  file: string,
  env: Environment = {},
): { readonly endpoints: readonly FileEndpoint[] } | { readonly problems: readonly FileProblem[] } {
  const source = readYaml(text);
  if ('faults' in source) {
    const problems = source.faults.map(({ line, column, message }) => ({
      file,
      position: line === undefined || column === undefined ? null : { line, column },
      path: '',
      message,
    }));
    return { problems };
  }
  const { endpoints, problems } = readEndpoints(source, file, env);
  if (problems.length === 0) return { endpoints };
  return { problems: problems.map((problem) => located(problem, file, source)).toSorted(byPosition) };
}

function readEndpoints(source: YamlSource, file: string, env: Environment) {
  const problems = [...shapeProblems(source.value)];
  const endpoints: FileEndpoint[] = [];
  if (problems.some(({ path }) => path.length === 0 || path[0] === 'endpoints'))
    return { endpoints, problems };
  const { endpoints: list } = source.value as { endpoints: readonly unknown[] };
  for (const [index, document] of list.entries()) {
    const read = validateEndpoint(document, env);
    const place = ['endpoints', index];
    if ('problems' in read) {
      problems.push(...read.problems.map(({ path, message }) => ({ path: [...place, ...path], message })));
    } else {
      endpoints.push({ ...read, file, position: (path) => source.position([...place, ...path]) });
    }
  }
  const names = list.map((document) => {
    const { name } = (document ?? {}) as { name?: unknown };
    return { name: typeof name === 'string' ? name : '' };
  });
  for (const { path, message } of repeatedNames(names)) {
    if (names[Number(path[0])]?.name !== '') problems.push({ path: ['endpoints', ...path], message });
  }
  return { endpoints, problems };
}

function* shapeProblems(value: unknown): Generator<DocumentProblem> {
  if (value === null || value === undefined) {
    yield { path: [], message: 'is empty: write `endpoints:` and a list' };
  } else if (typeof value !== 'object' || Array.isArray(value)) {
    yield { path: [], message: `must be a mapping with the key endpoints, not ${kindOf(value)}` };
  } else {
    for (const key of Object.keys(value)) {
      if (key === 'endpoints' || key.startsWith('x-')) continue;
      const near = nearest(key, ['endpoints']);
      const meant = near
        ? "did you mean 'endpoints'?"
        : 'a file holds endpoints, and keys that begin with x-';
      yield { path: [key], message: `is not a known key: ${meant}` };
    }
    const { endpoints } = value as { endpoints?: unknown };
    if (endpoints === undefined) yield { path: ['endpoints'], message: 'is missing' };
    else if (!Array.isArray(endpoints)) {
      yield { path: ['endpoints'], message: `must be a list, not ${kindOf(endpoints)}` };
    }
  }
}

function located({ path, message }: DocumentProblem, file: string, source: YamlSource): FileProblem {
  return { file, position: source.position(path), path: pathText(path), message };
}

function byPosition({ position: a }: FileProblem, { position: b }: FileProblem): number {
  return (a?.line ?? 0) - (b?.line ?? 0) || (a?.column ?? 0) - (b?.column ?? 0);
}

/** `monitors.yaml:12:7: endpoints[2].request.headrs: is not a known key: did you mean 'headers'?` */
export function fileProblemText({ file, position, path, message }: FileProblem): string {
  const place = position ? `${file}:${position.line}:${position.column}` : file;
  return `${place}: ${path ? `${path}: ` : ''}${message}`;
}
