import { closest, distance } from 'fastest-levenshtein';
import * as z from 'zod';

export type DocumentPath = readonly (string | number)[];

/** One thing that is wrong with a document, in words for the person who wrote it. Never quotes what may be a secret. */
export interface DocumentProblem {
  readonly path: DocumentPath;
  readonly message: string;
}

/** `endpoints[2].request.headers['a b']` */
export function pathText(path: DocumentPath): string {
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      if (!/^[A-Za-z_][\w-]*$/.test(step)) return `['${step}']`;
      return index === 0 ? step : `.${step}`;
    })
    .join('');
}

/** Everything that does not fit the schema, all at once, in the document's own order of keys where zod keeps it. */
export function problemsOf(schema: z.ZodType, value: unknown, issues: readonly z.core.$ZodIssue[]) {
  return issues.flatMap((issue) => describe({ schema, value }, issue, issue.path.filter(isStep)));
}

interface Subject {
  readonly schema: z.ZodType;
  readonly value: unknown;
}

function describe(subject: Subject, issue: z.core.$ZodIssue, path: DocumentPath): DocumentProblem[] {
  const said = (message: string): DocumentProblem[] => [{ path, message }];
  const given = valueAt(subject.value, path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: unknownKey(key, knownKeys(subject, path)),
      }));
    case 'invalid_union':
      return describeUnion(subject, issue, path, given);
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ path, message: `the name is ${message}` }));
    case 'invalid_type':
      if (given === undefined) return said('is missing');
      return said(
        `must be ${wantedType(issue.expected, subject, path)}, not ${kindOf(given)}${hint(issue.expected, subject, path)}`,
      );
    case 'invalid_value':
      if (given === undefined) return said('is missing');
      return said(notOneOf(given, issue.values.map(String)));
    case 'too_small':
    case 'too_big':
      return said(outOfBounds(issue));
    case 'invalid_format':
      return said(formats[issue.format] ?? issue.message);
    default:
      return said(issue.message);
  }
}

const formats: Readonly<Record<string, string>> = {
  hostname: 'is not a host name',
  ipv4: 'is not an IP address',
  ipv6: 'is not an IP address',
};

/** Of a union's forms the one that was meant: where the kind fits, what is wrong inside it; else what would fit. */
function describeUnion(
  subject: Subject,
  issue: Extract<z.core.$ZodIssue, { code: 'invalid_union' }>,
  path: DocumentPath,
  given: unknown,
): DocumentProblem[] {
  if (given === undefined) return [{ path, message: 'is missing' }];
  const forms = issue.errors;
  const fits = forms.filter((form) => !form.some((one) => one.path.length === 0 && isOfOtherKind(one)));
  const meant = fits.find((form) => form.some((one) => one.path.length > 0)) ?? fits[0];
  if (meant) {
    return meant.flatMap((one) => describe(subject, one, [...path, ...one.path.filter(isStep)]));
  }
  const wanted = forms.flatMap((form) => form.flatMap((one) => wantedOf(one, subject, path)));
  const message = `must be ${[...new Set(wanted)].join(' or ')}, not ${kindOf(given)}`;
  return [{ path, message }];
}

function isOfOtherKind(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type';
}

function wantedOf(issue: z.core.$ZodIssue, subject: Subject, path: DocumentPath): string[] {
  if (issue.path.length > 0) return [];
  if (issue.code === 'invalid_type') return [wantedType(issue.expected, subject, path)];
  return issue.code === 'invalid_value' ? [`one of ${issue.values.join(', ')}`] : [];
}

function wantedType(expected: string, subject: Subject, path: DocumentPath): string {
  const example = exampleOf(subject, path);
  const like = example === null ? '' : ` like ${example}`;
  if (expected === 'int') return 'a whole number';
  const words: Readonly<Record<string, string>> = {
    string: `text${like}`,
    number: 'a number',
    boolean: 'true or false',
    array: 'a list',
    object: 'a mapping',
    record: 'a mapping',
    null: 'null',
  };
  return words[expected] ?? expected;
}

export function kindOf(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'number') return Number.isInteger(value) ? 'a number' : 'a fraction';
  const words = { string: 'text', boolean: 'true or false', object: 'a mapping' } as const;
  return words[typeof value as keyof typeof words] ?? typeof value;
}

/** YAML reads 5 and true as what they look like; a duration without its unit is another matter. */
function hint(expected: string, subject: Subject, path: DocumentPath): string {
  const given = valueAt(subject.value, path);
  const quotable = typeof given === 'number' || typeof given === 'boolean';
  return expected === 'string' && quotable && !exampleOf(subject, path) ? ' (quotes make it text)' : '';
}

function exampleOf({ schema }: Subject, path: DocumentPath): string | null {
  const example = schemasAt(schema, path)[0]?.meta()?.example;
  return example === undefined ? null : String(example);
}

function outOfBounds(issue: Extract<z.core.$ZodIssue, { code: 'too_small' | 'too_big' }>): string {
  const bound = Number(issue.code === 'too_small' ? issue.minimum : issue.maximum);
  const side = issue.code === 'too_small' ? 'at least' : 'at most';
  const unit = { string: 'character', array: 'entry', set: 'entry' }[issue.origin as string];
  if (unit === 'character' && bound === 1 && side === 'at least') return 'must not be empty';
  if (!unit)
    return `must be ${issue.inclusive === false ? (side === 'at least' ? 'more than' : 'less than') : side} ${bound}`;
  const units = bound === 1 ? unit : unit === 'entry' ? 'entries' : 'characters';
  return `must have ${side} ${bound} ${units}`;
}

function notOneOf(given: unknown, values: readonly string[]): string {
  if (given === null || typeof given === 'object') {
    return `must be one of ${values.join(', ')}, not ${kindOf(given)}`;
  }
  const word = String(given);
  const near = nearest(word, values);
  return `'${clip(word)}' is not one of ${values.join(', ')}${near ? `: did you mean '${near}'?` : ''}`;
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known);
  if (near) return `is not a known key: did you mean '${near}'?`;
  return known.length > 0 ? `is not a known key: known are ${known.join(', ')}` : 'is not a known key';
}

/** The word that was meant, where one is near enough that it surely was. */
export function nearest(word: string, known: readonly string[]): string | null {
  if (known.length === 0) return null;
  const plain = new Map(known.map((one) => [one.toLowerCase(), one]));
  const asked = word.toLowerCase();
  const found = closest(asked, [...plain.keys()]);
  const most = Math.max(1, Math.floor(Math.max(asked.length, found.length) / 3));
  const shortest = Math.min(asked.length, found.length);
  const near = isSwapped(asked, found) || distance(asked, found) <= Math.min(most, shortest - 1);
  return near ? (plain.get(found) ?? null) : null;
}

/** Two letters changed places: the commonest slip, and a distance of two. */
function isSwapped(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  const at = [...a].findIndex((letter, index) => letter !== b[index]);
  return at >= 0 && a.slice(0, at) + a[at + 1] + a[at] + a.slice(at + 2) === b;
}

function knownKeys({ schema }: Subject, path: DocumentPath): string[] {
  return schemasAt(schema, path).flatMap((one) => (one instanceof z.ZodObject ? Object.keys(one.shape) : []));
}

/** What the schema says of the value at a path: one schema a form that it may have there. */
function schemasAt(schema: z.ZodType, path: DocumentPath): z.ZodType[] {
  let found = formsOf(schema);
  for (const step of path) {
    found = found.flatMap((one) => {
      if (one instanceof z.ZodObject) {
        const inner = Object.hasOwn(one.shape, step) ? (one.shape[step] as z.ZodType) : null;
        return inner ? formsOf(inner) : [];
      }
      if (one instanceof z.ZodArray) return formsOf(one.element as z.ZodType);
      return one instanceof z.ZodRecord ? formsOf(one.valueType as z.ZodType) : [];
    });
  }
  return found;
}

/** Without its wrappers: defaults, optionals, codecs (what is written), unions (each form). */
function formsOf(schema: z.ZodType): z.ZodType[] {
  if (schema instanceof z.ZodPipe) return formsOf(schema.in as z.ZodType);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((one) => formsOf(one as z.ZodType));
  const wrapped =
    schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault;
  return wrapped ? formsOf(schema.unwrap() as z.ZodType) : [schema];
}

export function valueAt(value: unknown, path: DocumentPath): unknown {
  let at = value;
  for (const step of path) {
    if (at === null || typeof at !== 'object' || !Object.hasOwn(at, step)) return undefined;
    at = (at as Record<string | number, unknown>)[step];
  }
  return at;
}

function isStep(step: PropertyKey): step is string | number {
  return typeof step !== 'symbol';
}

function clip(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
