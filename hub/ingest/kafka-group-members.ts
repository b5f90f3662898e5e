import type { Kafka } from 'kafkajs';
import { withAdmin } from './kafka-topics.ts';

export interface GroupMember {
  readonly clientId: string;
  readonly host: string;
}

/** Who is in a consumer group now; one that was killed stays in it for its session timeout, 10 s. */
export async function groupMembers(kafka: Kafka, groupId: string): Promise<GroupMember[]> {
  return withAdmin(kafka, async (admin) => {
    const { groups } = await admin.describeGroups([groupId]);
    return (groups[0]?.members ?? []).map(({ clientId, clientHost }) => ({
      clientId,
      host: clientHost.replace(/^\//, ''),
    }));
  });
}
