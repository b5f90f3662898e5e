import type { HubKafkaConfig } from '../config.ts';
import type { Database } from '../store/database.ts';
import { repairProgress } from '../store/repair-progress.ts';
import { type KnownProgress, listProgress } from '../store/seat-progress.ts';
import { type KafkaLog, kafkaClient } from './kafka-client.ts';
import { type GroupMember, groupMembers } from './kafka-group-members.ts';
import { readLog } from './kafka-seats.ts';
import { planRepair, type RepairLine } from './progress-repair.ts';
import type { LogTopic } from './seat.ts';

export interface LogRepair extends LogTopic {
  readonly lines: readonly RepairLine[];
  readonly before: readonly KnownProgress[];
  /** Those who read now. */
  readonly members: readonly GroupMember[];
}

/** What is wrong between a topic and the progress on it. Throws KafkaRefusal where there is no such topic. */
export async function lookAtLog(
  config: HubKafkaConfig,
  { topic, db, log }: { readonly topic: string; readonly db: Database; readonly log: KafkaLog },
): Promise<LogRepair> {
  const kafka = kafkaClient(config, log);
  const { ends, clusterId, topicId } = await readLog({ kafka, topic });
  const at = { clusterId, topic, topicId };
  const before = await listProgress(db, topic);
  const lines = planRepair(at, ends, before);
  return { ...at, lines, before, members: await groupMembers(kafka, config.groupId) };
}

/** Does it, with its line in the audit log, in one transaction. False where the progress has moved since it was looked at. */
export async function repairLog(
  db: Database,
  { topic, topicId, lines, before }: LogRepair,
): Promise<boolean> {
  const set = lines.flatMap(({ clusterId, partition, todo }) =>
    todo.what === 'read' ? [{ clusterId, topic, partition, nextOffset: todo.to, topicId }] : [],
  );
  const forget = lines.filter(({ todo }) => todo.what === 'forget');
  return db.transaction((sql) => repairProgress(sql, { topic, before, set, forget }));
}
