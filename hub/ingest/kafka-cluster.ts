import kafkajs, { type Admin, type Kafka, type AclOperationTypes as OperationType } from 'kafkajs';
import type { GrantedRight, Operation, Present, Right, Step, WantedTopic } from './cluster-plan.ts';
import { kafkaReason } from './kafka-client.ts';
import { listUserQuotas, setUserQuotas } from './kafka-quotas.ts';
import { makeTopics, withAdmin } from './kafka-topics.ts';
import { askController, wire } from './kafka-wire.ts';

/** Node itself sees not all that kafkajs exports by name. */
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ConfigResourceTypes, ResourcePatternTypes } =
  kafkajs;
const timeType = 'message.timestamp.type';

/** What the cluster has of what Parallax needs. Rejects where it cannot be asked at all. */
export async function readCluster(
  kafka: Kafka,
  topics: readonly string[],
): Promise<Present & { clusterId: string }> {
  return withAdmin(kafka, async (admin) => {
    const { clusterId } = await admin.describeCluster();
    const there = new Set(await admin.listTopics());
    return {
      clusterId,
      topics: await readTopics(
        admin,
        topics.filter((topic) => there.has(topic)),
      ),
      rights: await readRights(admin),
      quotas: await listUserQuotas(kafka).catch(refusalOf),
    };
  });
}

async function readTopics(admin: Admin, names: readonly string[]): Promise<Present['topics']> {
  if (names.length === 0) return new Map();
  const { topics } = await admin.fetchTopicMetadata({ topics: [...names] });
  const { resources } = await admin.describeConfigs({
    resources: names.map((name) => ({ type: ConfigResourceTypes.TOPIC, name, configNames: [timeType] })),
    includeSynonyms: false,
  });
  return new Map(
    topics.map(({ name, partitions }) => {
      const entries = resources.find(({ resourceName }) => resourceName === name)?.configEntries;
      const timestampType =
        entries?.find(({ configName }) => configName === timeType)?.configValue ?? 'unknown';
      return [name, { partitions: partitions.length, timestampType }];
    }),
  );
}

const operations: ReadonlyMap<number, string> = new Map([
  [AclOperationTypes.ALL, 'All'],
  [AclOperationTypes.READ, 'Read'],
  [AclOperationTypes.WRITE, 'Write'],
  [AclOperationTypes.DESCRIBE, 'Describe'],
  [AclOperationTypes.DESCRIBE_CONFIGS, 'DescribeConfigs'],
]);
const operationTypes: Readonly<Record<Operation, OperationType>> = {
  Read: AclOperationTypes.READ,
  Write: AclOperationTypes.WRITE,
  Describe: AclOperationTypes.DESCRIBE,
  DescribeConfigs: AclOperationTypes.DESCRIBE_CONFIGS,
};
const resourceTypes = { topic: AclResourceTypes.TOPIC, group: AclResourceTypes.GROUP } as const;

async function readRights(admin: Admin): Promise<Present['rights']> {
  try {
    const { resources } = await admin.describeAcls({
      resourceType: AclResourceTypes.ANY,
      resourcePatternType: ResourcePatternTypes.ANY,
      operation: AclOperationTypes.ANY,
      permissionType: AclPermissionTypes.ANY,
    });
    return resources.flatMap(({ resourceType, resourceName, resourcePatternType, acls }) => {
      const type = resourceType === AclResourceTypes.TOPIC ? 'topic' : 'group';
      if (resourceType !== resourceTypes[type]) return [];
      return (
        acls
          // One that holds for a single host gives nothing to be relied on.
          .filter(({ host, permissionType }) => host === '*' || permissionType === AclPermissionTypes.DENY)
          .map(
            ({ principal, operation, permissionType }): GrantedRight => ({
              principal,
              resource: { type, name: resourceName },
              prefix: resourcePatternType === ResourcePatternTypes.PREFIXED,
              operation: operations.get(operation) ?? 'other',
              allow: permissionType === AclPermissionTypes.ALLOW,
            }),
          )
      );
    });
  } catch (error) {
    return refusalOf(error);
  }
}

/** What is asked of the cluster itself and refused, in words; other errors are thrown. */
function refusalOf(error: unknown): string {
  const { type, errorCode } = error as { type?: string; errorCode?: number };
  if (type === 'CLUSTER_AUTHORIZATION_FAILED' || errorCode === 31) return 'these credentials may not see it';
  if (type === 'SECURITY_DISABLED' || errorCode === 54) {
    return 'the cluster has no authorizer: whoever reaches it may do anything';
  }
  return kafkaReason(error);
}

/** Does what is missing. Rejects with what the cluster says. */
export async function applyStep(kafka: Kafka, step: Step): Promise<void> {
  if (step.kind === 'quota') return setUserQuotas(kafka, step.quotas);
  if (step.kind === 'time') return setLogAppendTime(kafka, step.name);
  await withAdmin(kafka, async (admin) => {
    if (step.kind === 'topic') await createTopic(admin, step.topic);
    else await admin.createAcls({ acl: aclsOf(step.right) });
  });
}

async function createTopic(
  admin: Admin,
  { topic, partitions, replication, configs }: WantedTopic,
): Promise<void> {
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
  await makeTopics(admin, [
    { topic, numPartitions: partitions, replicationFactor: replication, configEntries },
  ]);
}

function aclsOf({ principal, resource, operations: wanted }: Right) {
  return wanted.map((operation) => ({
    resourceType: resourceTypes[resource.type],
    resourceName: resource.name,
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal,
    host: '*',
    operation: operationTypes[operation],
    permissionType: AclPermissionTypes.ALLOW,
  }));
}

/** IncrementalAlterConfigs: kafkajs knows only the request that sets every other setting back to its default. */
async function setLogAppendTime(kafka: Kafka, topic: string): Promise<void> {
  const set = 0;
  const config = Buffer.concat([wire.text(timeType), wire.int8(set), wire.text('LogAppendTime')]);
  const resource = Buffer.concat([
    wire.int8(ConfigResourceTypes.TOPIC),
    wire.text(topic),
    wire.list([config]),
  ]);
  await askController(kafka, {
    apiKey: 44,
    apiName: 'IncrementalAlterConfigs',
    apiVersion: 0,
    body: Buffer.concat([wire.list([resource]), wire.int8(0)]),
    read(reader) {
      reader.int32();
      reader.list(() => {
        reader.refuse();
        return [reader.int8(), reader.text()];
      });
    },
  });
}
