import type { DocumentPath, DocumentProblem } from './document-problem.ts';

/**
 * Which values of an endpoint's document are secrets, and the references that may stand in their place. The document
 * is as a person writes it; nothing here looks at anything but `request`.
 *
 * Sealed at rest and shown nowhere are: the body, basicAuth.password, bearer, tls.key, a proxy with credentials, the
 * headers that look like credentials, what came from `${env:NAME}`, and what the document's `secrets` names.
 * A bare `${probe:NAME}` is no secret: it only says where the probe finds one.
 */

/** What stands in place of a sealed value wherever an endpoint is shown; sent back unchanged it means "as it was". */
export const sealedMark = '<sealed>';

/** A value that may be a secret, with its place: header names in lower case, as they are the same header. */
export interface SecretValue {
  /** `request.headers.authorization` */
  readonly field: string;
  readonly path: DocumentPath;
  readonly value: string;
}

/** `*` is every key of a mapping and every place of a list. */
const sealable = [
  ['request', 'headers', '*'],
  ['request', 'metadata', '*'],
  ['request', 'steps', '*', 'send'],
  ['request', 'body'],
  ['request', 'basicAuth', 'username'],
  ['request', 'basicAuth', 'password'],
  ['request', 'bearer'],
  ['request', 'proxy'],
  ['request', 'tls', 'ca'],
  ['request', 'tls', 'cert'],
  ['request', 'tls', 'key'],
] as const;

/** For messages: where references and secrets may stand. */
export const sealableFields = sealable.map((path) => path.join('.'));
/** Mappings whose names are the same whatever their case, and say by themselves whether a secret stands there. */
const named = /^request\.(headers|metadata)\.(.+)$/;

const alwaysSecret = new Set([
  'request.body',
  'request.basicAuth.password',
  'request.bearer',
  'request.tls.key',
]);
const credentialName = /authori[sz]ation|cookie|token|secret|key|passw|credential|session|auth|signature/;

/** Whether a header of this name is a secret by its name, whatever its case. */
export function isCredentialName(name: string): boolean {
  return credentialName.test(name.toLowerCase());
}

/** Every value that could be sealed, in a fixed order. */
export function sealableValues(document: unknown): SecretValue[] {
  return sealable.flatMap((pattern) => [...valuesAt(document, pattern, [])]);
}

function* valuesAt(value: unknown, pattern: readonly string[], path: DocumentPath): Generator<SecretValue> {
  const [step, ...rest] = pattern;
  if (step === undefined) {
    if (typeof value === 'string') yield { field: fieldOf(path.join('.')), path, value };
  } else if (step !== '*') {
    yield* valuesAt(objectAt(value)[step], rest, [...path, step]);
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* valuesAt(item, rest, [...path, index]);
  } else {
    for (const [key, inner] of Object.entries(objectAt(value))) yield* valuesAt(inner, rest, [...path, key]);
  }
}

function fieldOf(written: string): string {
  return named.test(written) ? written.toLowerCase() : written;
}

/** Whether this value is a secret by what it is and where it stands. */
export function isSecret({ field, value }: SecretValue): boolean {
  if (value === '' || isReference(value)) return false;
  const name = named.exec(field)?.[2];
  if (name !== undefined) return credentialName.test(name);
  return field === 'request.proxy' ? value.includes('@') : alwaysSecret.has(field);
}

/** `${probe:NAME}`, or one after a scheme: `Bearer ${probe:NAME}`. */
export function isReference(value: string): boolean {
  return /^([A-Za-z]+ )?\$\{probe:[A-Za-z_]\w*\}$/.test(value);
}

/** How a place is named in `secrets`, whatever the case of a header's name; null where none can be sealed. */
export function secretField(written: string): string | null {
  if (named.test(written) || /^request\.steps\.\d{1,3}\.send$/.test(written)) return fieldOf(written);
  return sealableFields.includes(written) && !written.includes('*') ? written : null;
}

/** The document with another text at a place that holds one. */
export function withValue(document: unknown, path: DocumentPath, value: string): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (Array.isArray(document))
    return document.map((item, at) => (at === step ? withValue(item, rest, value) : item));
  const record = (document ?? {}) as Record<string, unknown>;
  return { ...record, [step]: withValue(record[step], rest, value) };
}

export type Environment = Readonly<Record<string, string | undefined>>;
const anyReference = /\$\{(env|probe):([^}]*)\}?/g;

/**
 * The document with `${env:NAME}` resolved and its places listed in `secrets`, so that they are sealed whatever they
 * are. `env: null` resolves nothing: there they are problems. Other references are checked and stay.
 */
export function resolveReferences(
  document: unknown,
  env: Environment | null,
): { readonly document: unknown; readonly problems: readonly DocumentProblem[] } {
  const problems: DocumentProblem[] = [];
  const places = new Map(sealableValues(document).map((value) => [value.path.join('\0'), value]));
  const secrets: string[] = [];
  let resolved = document;
  for (const { path, text } of textsOf(document)) {
    const found = [...text.matchAll(anyReference)];
    if (found.length === 0) continue;
    const place = places.get(path.join('\0'));
    const wrong = found.map((match) => faultOf(match, place, env)).filter((fault) => fault !== null);
    problems.push(...[...new Set(wrong)].map((message) => ({ path, message })));
    if (wrong.length > 0 || !place || !env || !found.some(([, kind]) => kind === 'env')) continue;
    const value = text.replace(anyReference, (whole, kind, name) =>
      kind === 'env' ? (env[name] ?? '') : whole,
    );
    resolved = withValue(resolved, path, value);
    secrets.push(place.field);
  }
  if (secrets.length === 0) return { document: resolved, problems };
  const record = resolved as Record<string, unknown>;
  const named = Array.isArray(record.secrets) ? record.secrets : [];
  return { document: { ...record, secrets: [...new Set([...named, ...secrets])] }, problems };
}

function faultOf(
  match: RegExpExecArray,
  place: SecretValue | undefined,
  env: Environment | null,
): string | null {
  const [whole, kind, name = ''] = match;
  if (!place) return `\${${kind}:…} stands only in ${sealableFields.join(', ')}`;
  if (!whole.endsWith('}') || !/^[A-Za-z_]\w*$/.test(name)) return `write the reference as \${${kind}:NAME}`;
  if (kind === 'probe') return null;
  if (env === null)
    return `\${env:${name}} is resolved by \`parallax endpoints apply\`: here, give the value itself`;
  return env[name] ? null : `\${env:${name}} is not set in the environment`;
}

/** Deeper than any document goes; what is deeper is refused elsewhere. */
const maxDepth = 16;

function* textsOf(value: unknown, path: DocumentPath = []): Generator<{ path: DocumentPath; text: string }> {
  if (typeof value === 'string') yield { path, text: value };
  else if (value !== null && typeof value === 'object' && path.length < maxDepth) {
    for (const [key, item] of Object.entries(value)) {
      yield* textsOf(item, [...path, Array.isArray(value) ? Number(key) : key]);
    }
  }
}

function objectAt(value: unknown): Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}
