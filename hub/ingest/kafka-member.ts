import type { Consumer, Kafka } from 'kafkajs';

export interface MemberOptions {
  readonly kafka: Kafka;
  readonly groupId: string;
  readonly lookEveryMs: number;
}

/** A member of the group that reads results. `goOn`: whether it may begin anew by itself after trouble. */
export function groupMember({ kafka, groupId, lookEveryMs }: MemberOptions, goOn: () => boolean): Consumer {
  return kafka.consumer({
    groupId,
    // A hub that was killed, or lost its broker, holds its partitions for so long.
    sessionTimeout: 10_000,
    // And for so long one that answers, and does not come to an end with what it has.
    rebalanceTimeout: 20_000,
    heartbeatInterval: 3000,
    maxBytesPerPartition: 1024 * 1024,
    maxBytes: 8 * 1024 * 1024,
    maxWaitTimeInMs: 500,
    // Partitions that were added are seen with the metadata.
    metadataMaxAge: lookEveryMs,
    allowAutoTopicCreation: false,
    // Nobody honest writes in transactions, and one that is never ended would keep all behind it from being read.
    readUncommitted: true,
    retry: { initialRetryTime: 200, maxRetryTime: 5000, retries: 8, restartOnFailure: async () => goOn() },
  });
}
