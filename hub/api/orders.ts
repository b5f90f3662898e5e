import { Hono } from 'hono';
import { maxOrderAnswerBytes, orderAnswerSchema, orderPath } from '../../shared/order.ts';
import type { HubContext } from '../context.ts';
import { Problem } from '../problem.ts';
import { answerOrder } from '../store/answer-order.ts';
import { tellChange } from '../store/changes.ts';
import type { Prover } from '../trust/prove-request.ts';
import type { ApiEnv } from './operator.ts';
import { parseJson } from './parse-json.ts';
import { readBody } from './read-body.ts';

export interface OrderRoutesOptions {
  readonly db: HubContext['db'];
  readonly prover: Pick<Prover, 'proveThenRead'>;
}

/** POST /v1/orders/:id: what a probe saw that was asked. 410 where nobody waits for it: another was faster, or it is too late. */
export function orderRoutes({ db, prover }: OrderRoutesOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.post(orderPath(':id'), async (context) => {
    const request = context.req.raw;
    const { probe, body } = await prover.proveThenRead(request, () => readBody(request, maxOrderAnswerBytes));
    const answer = parseJson(orderAnswerSchema, body);
    const text = JSON.stringify(answer);
    const kept =
      !text.includes('\\u0000') &&
      (await db.transaction(async (sql) => {
        const done = await answerOrder(sql, context.req.param('id') ?? '', probe.id, text);
        if (done) await tellChange(sql, 'orders');
        return done;
      }));
    if (!kept) throw new Problem(410, 'order.gone', 'nobody waits for this answer');
    return context.body(null, 204);
  });
  return app;
}
