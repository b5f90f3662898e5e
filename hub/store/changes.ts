import type { Sql } from './database.ts';

/** What replicas tell one another, so that a change is in force everywhere at once. */
export const changeTopics = ['endpoints', 'probes', 'shards', 'results', 'jobs'] as const;
export type ChangeTopic = (typeof changeTopics)[number];

export interface Changes {
  /** Calls back on every change told by any replica, and on the poll behind it. Returns how to stop. */
  subscribe(topic: ChangeTopic, listener: () => void): () => void;
  stop(): Promise<void>;
}

export const changeChannel = 'parallax_changes';

/** Tells every replica, when the transaction commits. */
export async function tellChange(sql: Sql, topic: ChangeTopic): Promise<void> {
  await sql.run('select pg_notify($1, $2)', [changeChannel, topic]);
}
