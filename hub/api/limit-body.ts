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

/**
 * Throws Problem 413 for a body that is larger than its path takes. Where no length is named it is read here, so that
 * no route can forget to count; what probes call counts by itself, after it has found out whether it can serve at all.
 */
export async function limitBody({ req }: Context<ApiEnv>): Promise<void> {
  const most = limits.find(([path]) => path.test(req.path))?.[1] ?? mostElsewhere;
  const length = req.header('content-length');
  if (length !== undefined && !(Number(length) <= most)) {
    throw new Problem(413, 'request.too_large', `a body here has at most ${most} bytes`);
  }
  if (req.header('transfer-encoding') === undefined || req.path.startsWith('/v1/')) return;
  const { method, url, raw } = req;
  const body = await readBody(raw, most);
  if (method === 'GET' || method === 'HEAD') return;
  req.raw = new Request(url, { method, headers: raw.headers, body: Buffer.from(body), signal: raw.signal });
}
