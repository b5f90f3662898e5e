import { setTimeout as wait } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { setUserQuotas } from '../../../hub/ingest/kafka-quotas.ts';
import type { Fault } from '../fault.ts';
import type { ChaosNetwork } from '../network.ts';

function kafkaOf(network: ChaosNetwork): Kafka {
  return new Kafka({
    brokers: [network.kafka.adminAddress],
    clientId: 'chaos',
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 300, maxRetryTime: 2000, retries: 30 },
  });
}

/** Everybody may produce a trickle: the broker holds its answers back for seconds. */
const throttledFault: Fault = {
  name: 'kafka.throttled',
  area: 'kafka',
  async inject(network, random) {
    const rate = random.pick([500, 3000, 20_000]);
    const set = (value: number) =>
      setUserQuotas(kafkaOf(network), [{ user: null, key: 'producer_byte_rate', value }]);
    await set(rate);
    return { detail: `quotas of ${rate} B/s on all`, heal: () => set(1_000_000_000) };
  },
};

/** While the hubs stand still retention takes everything there is: the probes still have it, and send it again. */
const retentionFault: Fault = {
  name: 'kafka.retention-passed',
  area: 'kafka',
  conflicts: ['hub.*', 'kafka.*', 'postgres.*', 'network.*'],
  async inject(network, random) {
    const admin = kafkaOf(network).admin();
    await admin.connect();
    try {
      for (const hub of network.hubs) hub.kill('SIGSTOP');
      await wait(random.int(2000, 5000));
      const offsets = await admin.fetchTopicOffsets(network.topic);
      await admin.deleteTopicRecords({
        topic: network.topic,
        partitions: offsets.map(({ partition, high }) => ({ partition, offset: high })),
      });
    } finally {
      for (const hub of network.hubs) hub.kill('SIGCONT');
      await admin.disconnect();
    }
    return { detail: 'the log was emptied before the hubs had read its end', heal: async () => undefined };
  },
};

export const kafkaFaults: readonly Fault[] = [throttledFault, retentionFault];
