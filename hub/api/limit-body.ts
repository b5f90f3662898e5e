import type { Context } from 'hono';
import { Problem } from '../problem.ts';
import type { ApiEnv } from './operator.ts';
import { readBody } from './read-body.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** A whole file of endpoints is applied in one request. */
const limits: readonly [path: RegExp, most: number][] = [
  [/^\/api\/v1\/endpoints\/apply$/, 32 * MiB],
  [/^\/api\//, 2 * MiB],
  [/^\/v1\/results$/, MiB],
];
const mostElsewhere = 64 * KiB;

/** Throws Problem 413 for a body whose length is larger than its path takes. */
export function limitBody({ req }: Context<ApiEnv>): void {
  const most = mostAt(req.path);
  const length = req.header('content-length');
  if (length !== undefined && !(Number(length) <= most)) {
    throw new Problem(413, 'request.too_large', `a body here has at most ${most} bytes`);
  }
}

/**
 * The same where no length is named: the body is read here, so that no route can forget to count. Called once it is
 * known who asks: who is nobody has no more than a sign-in takes in memory. What probes call counts by itself.
 */
export async function countBody(context: Context<ApiEnv>): Promise<void> {
  const { req } = context;
  if (req.header('transfer-encoding') === undefined) return;
  const { method, url, raw } = req;
  const body = await readBody(raw, context.get('operator') ? mostAt(req.path) : mostElsewhere);
  if (method === 'GET' || method === 'HEAD') return;
  req.raw = new Request(url, { method, headers: raw.headers, body: Buffer.from(body), signal: raw.signal });
}

function mostAt(path: string): number {
  return limits.find(([pattern]) => pattern.test(path))?.[1] ?? mostElsewhere;
}
