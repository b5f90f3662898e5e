import { Hono } from 'hono';
import { enrollPath, enrollRequestSchema } from '../../shared/enrollment.ts';
import type { Enroller } from '../trust/enroll.ts';
import type { Prover } from '../trust/prove-request.ts';
import type { ApiEnv } from './operator.ts';
import { parseJson } from './parse-json.ts';
import { readBody } from './read-body.ts';

export interface ProbeEnrollOptions {
  readonly prover: Pick<Prover, 'proveWithKey'>;
  readonly enroller: Enroller;
}

const maxBytes = 16 * 1024;

/** POST /v1/enroll: a token and a key, with the proof that whoever sends them holds the key. */
export function probeEnrollRoutes({ prover, enroller }: ProbeEnrollOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.post(enrollPath, async (context) => {
    const body = await readBody(context.req.raw, maxBytes);
    const request = parseJson(enrollRequestSchema, body);
    await prover.proveWithKey(context.req.raw, body, request.key);
    return context.json(await enroller.enroll(request, context.get('remoteIp') ?? null));
  });
  return app;
}
