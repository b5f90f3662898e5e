import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failed, UsageError } from '../../shared/command-line.ts';

/** The operator API as the CLI speaks it. Throws Failed with what the hub said. */
export interface HubClient {
  readonly origin: string;
  get<T>(path: string, query?: Query): Promise<T>;
  /** Server-sent events of one answer, as they come. */
  events(method: 'POST', path: string, body: unknown): AsyncIterable<{ event: string; data: unknown }>;
  send<T>(
    method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    timeoutMs?: number,
  ): Promise<T>;
}

/** A list is sent as the name repeated. */
export type Query = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** What the hub refused, in its words. */
export class HubRefusal extends Failed {
  readonly status: number;
  readonly code: string | null;
  readonly detail: string;
  /** One entry a fault, where it listed them. */
  readonly errors: readonly { readonly path?: string; readonly message: string }[];

  constructor(
    text: string,
    { status, code = null, detail = text, errors = [] }: Partial<HubRefusal> & { status: number },
  ) {
    super(text);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.errors = errors;
  }
}

/** What `parallax up` leaves for the CLI beside it: `.parallax/operator.json`, 0600. */
export interface OperatorFile {
  readonly hub: string;
  readonly token: string;
}
export const operatorFile = 'operator.json';

type Env = Readonly<Record<string, string | undefined>>;

const requestTimeoutMs = 30_000;

/** PARALLAX_HUB and PARALLAX_TOKEN, else what `parallax up` left in `.parallax/` of this folder. */
export async function connectHub(env: Env, cwd: string, signal: AbortSignal): Promise<HubClient> {
  const { hub, token } =
    given(env) ?? (await readOperator(join(env.PARALLAX_DATA || join(cwd, '.parallax'), operatorFile)));
  const origin = hub.replace(/\/+$/, '');
  const call = async <T>(
    method: string,
    path: string,
    body?: unknown,
    timeoutMs = requestTimeoutMs,
  ): Promise<T> => {
    const answer = await fetch(`${origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    }).catch((error: Error) => {
      throw new Failed(`cannot reach the hub at ${origin}: ${reasonOf(error)}. Is it running?`);
    });
    const text = await answer.text();
    if (!answer.ok) throw refusal(answer.status, text, origin);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  };
  return {
    origin,
    get: (path, query = {}) => {
      const given = Object.entries(query).flatMap(([name, value = []]) =>
        [value].flat().map((one) => [name, String(one)]),
      );
      const search = new URLSearchParams(given).toString();
      return call('GET', search ? `${path}?${search}` : path);
    },
    send: call,
    events: (method, path, body) => readEvents(origin, token, method, path, body, signal),
  };
}

/** An answer of more than this without an end is none of ours. */
const maxEventChars = 1_000_000;
const eventsTimeoutMs = 30_000;

async function* readEvents(
  origin: string,
  token: string,
  method: string,
  path: string,
  body: unknown,
  signal: AbortSignal,
): AsyncGenerator<{ event: string; data: unknown }> {
  const answer = await fetch(`${origin}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.any([signal, AbortSignal.timeout(eventsTimeoutMs)]),
  }).catch((error: Error) => {
    throw new Failed(`cannot reach the hub at ${origin}: ${reasonOf(error)}. Is it running?`);
  });
  if (!answer.ok || !answer.body) throw refusal(answer.status, await answer.text(), origin);
  let rest = '';
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    rest += text;
    const parts = rest.split('\n\n');
    rest = parts.pop() ?? '';
    if (rest.length > maxEventChars) throw new Failed(`${origin} answers without an end`);
    for (const part of parts) {
      const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(part)?.[1];
      const data = field('data');
      if (data !== undefined) yield { event: field('event') ?? 'message', data: JSON.parse(data) };
    }
  }
}

/** One of the two alone would be half of another hub's: it must not lead to the one beside us. */
function given({ PARALLAX_HUB: hub, PARALLAX_TOKEN: token }: Env): OperatorFile | null {
  if (hub && token) return { hub, token };
  if (!hub && !token) return null;
  throw new UsageError(
    hub
      ? 'PARALLAX_HUB is set and PARALLAX_TOKEN is not: give an API token of that hub (the first is made on its machine: parallax tokens create --help)'
      : 'PARALLAX_TOKEN is set and PARALLAX_HUB is not: say which hub the token is of',
  );
}

async function readOperator(file: string): Promise<OperatorFile> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw new Failed(`${file}: ${error.message}`);
    throw new Failed(
      'which hub? Run this beside `npm start` (where .parallax/ lies), or set PARALLAX_HUB and PARALLAX_TOKEN',
    );
  });
  try {
    const { hub, token } = JSON.parse(text) as OperatorFile;
    if (typeof hub !== 'string' || typeof token !== 'string') throw new Error('not what up wrote');
    return { hub, token };
  } catch {
    throw new Failed(`${file} is damaged: start \`npm start\` again, it writes it anew`);
  }
}

function reasonOf(error: Error): string {
  const { cause } = error as { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? error.message;
}

/** An RFC 9457 problem document in words, with one line a fault where it lists them. */
function refusal(status: number, text: string, origin: string): HubRefusal {
  try {
    const { detail, code, errors } = JSON.parse(text) as Partial<HubRefusal>;
    if (!detail) throw new Error('not a problem document');
    // A single fault is told by the detail already.
    const told = (errors ?? []).filter(({ message }) => message !== detail);
    const lines = told.map(({ path, message }) => `\n  ${path ? `${path}: ` : ''}${message}`);
    const words = `${detail}${code ? ` (${code})` : ''}${lines.join('')}`;
    return new HubRefusal(words, { status, detail, code: code ?? null, errors: errors ?? [] });
  } catch {
    return new HubRefusal(`${origin} answered ${status}: is it a Parallax hub?`, { status });
  }
}
