import type { HubKafkaConfig } from '../config.ts';
import { type PlanTerms, planSteps, type Step, wantedOf } from './cluster-plan.ts';
import { type KafkaLog, kafkaClient, kafkaReason } from './kafka-client.ts';
import { applyStep, readCluster } from './kafka-cluster.ts';

export interface ClusterSetup {
  /** What is wanted, each with whether it is there. Rejects where the cluster cannot be asked. */
  plan(terms: PlanTerms): Promise<{ readonly clusterId: string; readonly steps: readonly Step[] }>;
  /** Rejects with what the cluster says. */
  apply(step: Step): Promise<void>;
  /** What of such an error helps. */
  reasonOf(error: unknown): string;
}

/** A cluster as Parallax wants it: its topics, who may what on them, and how much. Run again it does nothing more. */
export function openSetup(config: HubKafkaConfig, log: KafkaLog): ClusterSetup {
  const kafka = kafkaClient(config, log);
  return {
    async plan(terms) {
      const wanted = wantedOf(terms);
      const present = await readCluster(
        kafka,
        wanted.topics.map(({ topic }) => topic),
      );
      return { clusterId: present.clusterId, steps: planSteps(wanted, present) };
    },
    apply: (step) => applyStep(kafka, step),
    reasonOf: kafkaReason,
  };
}
