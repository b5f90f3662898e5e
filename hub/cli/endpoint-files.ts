import { readFile } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { type CliContext, Failed, printable, UsageError } from '../../shared/command-line.ts';
import type { DocumentPath } from '../../shared/document-problem.ts';
import {
  type FileEndpoint,
  type FileProblem,
  fileProblemText,
  parseEndpointFile,
  repeatedNames,
} from '../../shared/endpoint-document.ts';
import type { HubRefusal } from './hub-client.ts';

const maxShown = 50;

/**
 * The endpoints of some files together, `${env:NAME}` resolved; `-` is standard input. Throws Failed with every
 * problem of every file.
 */
export async function readEndpointFiles(
  files: readonly string[],
  { cwd, env, signal }: Pick<CliContext, 'cwd' | 'env' | 'signal'>,
): Promise<FileEndpoint[]> {
  if (files.filter((file) => file === '-').length > 1)
    throw new UsageError('standard input (-) can be read once');
  const endpoints: FileEndpoint[] = [];
  const problems: FileProblem[] = [];
  for (const file of files) {
    const read = parseEndpointFile(await readText(file, cwd, signal), shownName(file), env);
    if ('problems' in read) problems.push(...read.problems);
    else endpoints.push(...read.endpoints);
  }
  if (problems.length === 0) problems.push(...repeatedAcross(endpoints));
  if (problems.length > 0) throw problemsFailure(problems);
  return endpoints;
}

function shownName(file: string): string {
  return file === '-' ? 'standard input' : file;
}

async function readText(file: string, cwd: string, signal: AbortSignal): Promise<string> {
  try {
    if (file === '-') return await text(process.stdin);
    const path = isAbsolute(file) ? file : resolve(cwd, file);
    const bytes = await readFile(path, { signal });
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new Failed(`${file}: there is no such file`, { cause: error });
    if (code === 'EISDIR') throw new Failed(`${file}: is a folder, not an endpoint file`, { cause: error });
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
      throw new Failed(`${file}: is not UTF-8`, { cause: error });
    throw new Failed(`${shownName(file)}: ${message}`, { cause: error });
  }
}

function repeatedAcross(endpoints: readonly FileEndpoint[]): FileProblem[] {
  const names = endpoints.map(({ endpoint }) => endpoint);
  const first = new Map<string, FileEndpoint>();
  for (const one of endpoints) if (!first.has(one.endpoint.name)) first.set(one.endpoint.name, one);
  return [...repeatedNames(names)].flatMap(({ path }) => {
    const one = endpoints[Number(path[0])];
    if (!one) return [];
    const { name } = one.endpoint;
    const where = first.get(name);
    const line = where?.position(['name'])?.line;
    const message = `'${name}' is the name of an endpoint in ${where?.file}${line ? `:${line}` : ''} already`;
    return [{ file: one.file, position: one.position(['name']), path: 'name', message }];
  });
}

function problemsFailure(problems: readonly FileProblem[]): Failed {
  const lines = problems.slice(0, maxShown).map((problem) => printable(fileProblemText(problem)));
  const more = problems.length > maxShown ? [`… and ${problems.length - maxShown} more`] : [];
  const [only = ''] = lines;
  if (problems.length === 1) return new Failed(only);
  return new Failed([`${problems.length} problems, nothing was changed:`, ...lines, ...more].join('\n  '));
}

/** What the hub refused of a list, told by file and line. */
export function locateRefusal(refusal: HubRefusal, endpoints: readonly FileEndpoint[]): Failed {
  const located = refusal.errors.flatMap(({ path = '', message }): FileProblem[] => {
    const match = /^endpoints\[(\d+)\]\.?(.*)$/.exec(path);
    const one = match ? endpoints[Number(match[1])] : undefined;
    if (!match || !one) return [];
    const steps = stepsOf(match[2] ?? '');
    return [
      { file: one.file, position: one.position(steps), path: `${one.endpoint.name}: ${match[2]}`, message },
    ];
  });
  return located.length > 0 && located.length === refusal.errors.length ? problemsFailure(located) : refusal;
}

/** `request.headers['a b']` back to its steps. */
function stepsOf(path: string): DocumentPath {
  return [...path.matchAll(/\['([^']*)'\]|\[(\d+)\]|([^.[\]]+)/g)].map(
    ([, quoted, index, word]) => quoted ?? word ?? Number(index),
  );
}
