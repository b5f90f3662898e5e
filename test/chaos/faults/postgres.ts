import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import type { Fault } from '../fault.ts';
import type { ChaosNetwork } from '../network.ts';

/** A connection of the superuser's that no proxy stands in the way of. */
async function connect(network: ChaosNetwork): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: network.postgres.url(), connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function once(network: ChaosNetwork, ...statements: readonly string[]): Promise<void> {
  const client = await connect(network);
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Tries until the server takes it: another fault may have it down. */
async function surely(network: ChaosNetwork, ...statements: readonly string[]): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await once(network, ...statements);
    } catch (error) {
      if (tries >= 60) throw error;
      await wait(500);
    }
  }
}

const endHubs = `select pg_terminate_backend(pid) from pg_stat_activity
  where application_name like 'parallax%' and pid <> pg_backend_pid()`;

/** Somebody's maintenance holds a table that the hubs write to: it can be read, and nothing is committed. */
const lockFault = (table: 'streams' | 'results', onRequest: boolean): Fault => ({
  name: `postgres.lock-${table}`,
  area: 'postgres',
  onRequest,
  conflicts: ['postgres.*'],
  async inject(network, random) {
    const client = await connect(network);
    await client.query('begin');
    await client.query("set local lock_timeout = '10s'");
    await client.query(`lock table ${table} in share row exclusive mode`);
    const holdMs = random.int(3000, 12_000);
    const released = wait(holdMs).then(() => client.end().catch(() => undefined));
    return { detail: `${table} locked for ${holdMs} ms`, heal: () => released };
  },
});

/** Somebody else takes every slot there is, those of the hubs as well. */
const connectionsFault: Fault = {
  name: 'postgres.connections',
  area: 'postgres',
  conflicts: ['postgres.*'],
  async inject(network) {
    const held: pg.Client[] = [];
    let taking = true;
    // The hubs try for every slot that comes free: whoever asks more often has it.
    const take = async () => {
      while (taking) {
        const client = await connect(network).catch(() => null);
        if (client && taking) held.push(client);
        else await client?.end().catch(() => undefined);
        if (!client) await wait(20);
      }
    };
    await once(network, endHubs);
    const takers = [take(), take(), take(), take()];
    await wait(1000);
    return {
      detail: `${held.length} connections of somebody else: no slot is left`,
      async heal() {
        taking = false;
        await Promise.all(takers);
        await Promise.all(held.map((client) => client.end().catch(() => undefined)));
      },
    };
  },
};

/** An administrator sets a limit for statements that ours now and then do not keep. */
const statementTimeoutFault: Fault = {
  name: 'postgres.statement-timeout',
  area: 'postgres',
  conflicts: ['postgres.*'],
  async inject(network, random) {
    const ms = random.pick([1, 3, 10]);
    await once(network, `alter role current_user set statement_timeout = '${ms}ms'`, endHubs);
    return {
      detail: `statement_timeout is ${ms} ms`,
      heal: () => surely(network, 'alter role current_user reset statement_timeout', endHubs),
    };
  },
};

export const postgresFaults: readonly Fault[] = [
  lockFault('streams', false),
  // In the middle of a transaction that has its streams: what a planted bug needs to be seen.
  lockFault('results', true),
  connectionsFault,
  statementTimeoutFault,
];
