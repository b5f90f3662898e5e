import type { Sql } from './database.ts';

/** What replicas tell one another, so that a change is in force everywhere at once. */
export const changeTopics = ['endpoints', 'probes', 'shards', 'results', 'jobs', 'orders'] as const;
export type ChangeTopic = (typeof changeTopics)[number];

export interface Changes {
  /** Calls back on every change told by any replica, and on the poll behind it. Returns how to stop. */
  subscribe(topic: ChangeTopic, listener: () => void): () => void;
  stop(): Promise<void>;
}

export const changeChannel = 'parallax_changes';

/**
 * Tells every replica, when the transaction commits. The version grows in a stripe of this connection's own: one row a
 * topic would make every writer wait for every other until it commits.
 */
export async function tellChange(sql: Sql, topic: ChangeTopic): Promise<void> {
  await sql.run(
    `with told as (
       insert into change_versions as v (topic, stripe, version)
       values ($2::text, pg_backend_pid() % 64, 1)
       on conflict (topic, stripe) do update set version = v.version + 1)
     select pg_notify($1::text, $2::text)`,
    [changeChannel, topic],
  );
}
