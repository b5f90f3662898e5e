import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failed } from '../../shared/command-line.ts';

/** The operator API as the CLI speaks it. Throws Failed with what the hub said. */
export interface HubClient {
  readonly origin: string;
  get<T>(path: string, query?: Readonly<Record<string, string | number | undefined>>): Promise<T>;
  send<T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<T>;
}

/** What `parallax up` leaves for the CLI beside it: `.parallax/operator.json`, 0600. */
export interface OperatorFile {
  readonly hub: string;
  readonly token: string;
}
export const operatorFile = 'operator.json';

const requestTimeoutMs = 30_000;

/** PARALLAX_HUB and PARALLAX_TOKEN, else what `parallax up` left in `.parallax/` of this folder. */
export async function connectHub(
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
  signal: AbortSignal,
): Promise<HubClient> {
  const given = env.PARALLAX_HUB && env.PARALLAX_TOKEN;
  const { hub, token } = given
    ? { hub: env.PARALLAX_HUB ?? '', token: env.PARALLAX_TOKEN ?? '' }
    : await readOperator(join(env.PARALLAX_DATA ?? join(cwd, '.parallax'), operatorFile));
  const origin = hub.replace(/\/+$/, '');
  const call = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const answer = await fetch(`${origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]),
    }).catch((error: Error) => {
      throw new Failed(`cannot reach the hub at ${origin}: ${reasonOf(error)}. Is it running?`);
    });
    const text = await answer.text();
    if (!answer.ok) throw new Failed(problemText(answer.status, text, origin));
    return (text === '' ? undefined : JSON.parse(text)) as T;
  };
  return {
    origin,
    get: (path, query = {}) => {
      const given = Object.entries(query).filter(([, value]) => value !== undefined);
      const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
      return call('GET', search ? `${path}?${search}` : path);
    },
    send: call,
  };
}

async function readOperator(file: string): Promise<OperatorFile> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw new Failed(`${file}: ${error.message}`);
    throw new Failed(
      'which hub? Run this beside `npm start` (where .parallax/ lies), or set PARALLAX_HUB and PARALLAX_TOKEN',
    );
  });
  try {
    return JSON.parse(text) as OperatorFile;
  } catch {
    throw new Failed(`${file} is damaged: start \`npm start\` again, it writes it anew`);
  }
}

function reasonOf(error: Error): string {
  const { cause } = error as { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? error.message;
}

/** An RFC 9457 problem document in words, with one line a fault where it lists them. */
function problemText(status: number, text: string, origin: string): string {
  try {
    const { detail, code, errors } = JSON.parse(text) as {
      detail?: string;
      code?: string;
      errors?: readonly { path?: string; message: string }[];
    };
    if (!detail) throw new Error('not a problem document');
    const lines = (errors ?? []).map(({ path, message }) => `\n  ${path ? `${path}: ` : ''}${message}`);
    return `${detail}${code ? ` (${code})` : ''}${lines.join('')}`;
  } catch {
    return `${origin} answered ${status}: is it a Parallax hub?`;
  }
}
