import { randomBytes } from 'node:crypto';
import type { Endpoint } from '../../shared/endpoint.ts';
import { firstOrderId, orderMs } from '../../shared/order.ts';
import type { HubContext } from '../context.ts';
import { Problem } from '../problem.ts';
import { tellChange } from '../store/changes.ts';
import { countOrders } from '../store/count-orders.ts';
import { insertAudit } from '../store/insert-audit.ts';
import { insertOrders } from '../store/insert-orders.ts';
import { listPresentProbes } from '../store/list-present-probes.ts';
import { assignmentOf } from '../trust/assignment-of.ts';
import type { SecretBox } from '../trust/sealed-secrets.ts';
import { placeOfOrder } from './order-book.ts';

export interface PlaceOrder {
  readonly endpoint: Endpoint;
  readonly regions: readonly { readonly id: number; readonly name: string }[];
  readonly askedBy: string;
  readonly remoteIp: string;
}

export interface PlacedOrder {
  readonly id: string;
  readonly probes: readonly { readonly id: number; readonly regionId: number }[];
  /** Regions in which no probe is about. */
  readonly empty: readonly string[];
}

/** Of checks: an order from ten regions is ten. */
const mostAMinute = 100;

/** Asks one probe of each region, the one that was seen last. Throws Problem 409 where there is none, 429 for too many. */
export async function placeOrder(
  { db }: Pick<HubContext, 'db'>,
  box: SecretBox,
  { endpoint, regions, askedBy, remoteIp }: PlaceOrder,
): Promise<PlacedOrder> {
  const present = await listPresentProbes(
    db,
    regions.map(({ id }) => id),
  );
  const probes = regions.flatMap(({ id }) => present.find(({ regionId }) => regionId === id) ?? []);
  const empty = regions.filter(({ id }) => !probes.some(({ regionId }) => regionId === id));
  if (probes.length === 0) {
    const names = regions.map(({ name }) => name).join(', ');
    throw new Problem(409, 'check.no_probe', `no probe is about in ${names}: parallax probes list`);
  }
  const id = randomBytes(16).toString('hex');
  await db.transaction(async (sql) => {
    if ((await countOrders(sql, askedBy)) + probes.length > mostAMinute) {
      throw new Problem(429, 'check.too_many', `at most ${mostAMinute} checks a minute are run on demand`, {
        headers: { 'retry-after': '30' },
      });
    }
    const assignment = assignmentOf(
      { id: firstOrderId + Math.floor(Math.random() * 2 ** 48), rev: 1, changedAtUs: 0, endpoint },
      endpoint,
    );
    const rows = probes.map(({ id: probeId, regionId }) => ({
      id,
      probeId,
      regionId,
      content: box.seal(placeOfOrder(id, probeId), JSON.stringify(assignment)),
    }));
    await insertOrders(sql, rows, askedBy, orderMs);
    const { protocol, host, pathname } = new URL(endpoint.url);
    await insertAudit(sql, {
      actor: askedBy,
      action: 'check.order',
      subject: `${protocol}//${host}${pathname}`,
      after: { regions: regions.map(({ name }) => name) },
      remoteIp,
    });
    await tellChange(sql, 'orders');
  });
  return { id, probes, empty: empty.map(({ name }) => name) };
}
