import type { OrderAnswer } from '../../shared/order.ts';
import type { Sql } from './database.ts';

export interface OrderAnswerRow {
  readonly probeId: number;
  readonly regionId: number;
  readonly answer: OrderAnswer;
}

/** What has been answered to an order so far. */
export async function listOrderAnswers(sql: Sql, id: string): Promise<readonly OrderAnswerRow[]> {
  return sql.many(
    `select probe_id as "probeId", region_id as "regionId", answer
     from orders where id = $1::text and answer is not null order by answered_at, probe_id`,
    [id],
  );
}
