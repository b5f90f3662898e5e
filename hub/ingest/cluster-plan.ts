import type { HubKafkaConfig } from '../config.ts';
import { topicNames } from './topics.ts';

/** What a cluster should have for Parallax, in Kafka's own words. */
export interface Wanted {
  readonly topics: readonly WantedTopic[];
  readonly rights: readonly Right[];
  readonly quotas: readonly Quota[];
}

export interface WantedTopic {
  readonly topic: string;
  readonly partitions: number;
  readonly replication: number;
  readonly configs: Readonly<Record<string, string>>;
}

export type Operation = 'Read' | 'Write' | 'Describe' | 'DescribeConfigs';

export interface Right {
  /** `User:NAME`; `User:*` is everybody whom the brokers let in. */
  readonly principal: string;
  readonly resource: { readonly type: 'topic' | 'group'; readonly name: string };
  readonly operations: readonly Operation[];
}

/** A limit a principal; `user` null is every principal that has none of its own. */
export interface Quota {
  readonly user: string | null;
  readonly key: 'producer_byte_rate' | 'request_percentage';
  readonly value: number;
}

export interface GrantedRight {
  readonly principal: string;
  readonly resource: Right['resource'];
  readonly prefix: boolean;
  readonly operation: string;
  readonly allow: boolean;
}

/** What a cluster has. A text says why it could not be read. */
export interface Present {
  readonly topics: ReadonlyMap<string, { readonly partitions: number; readonly timestampType: string }>;
  readonly rights: readonly GrantedRight[] | string;
  readonly quotas: readonly Quota[] | string;
}

export type Step = { readonly what: string; readonly state: StepState; readonly note?: string } & (
  | { readonly kind: 'topic'; readonly topic: WantedTopic }
  | { readonly kind: 'time'; readonly name: string }
  | { readonly kind: 'right'; readonly right: Right }
  | { readonly kind: 'quota'; readonly user: string | null; readonly quotas: readonly Quota[] }
);
/** `kept`: another stands there, and is its operator's. `unknown`: it may not be read. */
export type StepState = 'there' | 'missing' | 'kept' | 'unknown';

export interface PlanTerms {
  readonly config: HubKafkaConfig;
  readonly env: string;
  /** `User:NAME`; null: nobody gets the hub's rights. */
  readonly hubPrincipal: string | null;
  /** Who may write results. */
  readonly probePrincipals: readonly string[];
  /** Bytes a second of one probe; null: no quotas. */
  readonly probeBytesPerSecond: number | null;
}

/**
 * A probe needs 60 bytes a result and a few requests a second: its share of the brokers' request threads, in percent
 * of one thread.
 */
const probeRequestPercent = 25;
/** The hub speaks for all probes that use the relay, and a default would hold for it too. */
const hubQuotas = { producer_byte_rate: 1024 ** 3, request_percentage: 1000 } as const;

export function topicConfigs(
  config: Pick<HubKafkaConfig, 'replication' | 'retentionMs'>,
): Record<string, string> {
  return {
    'message.timestamp.type': 'LogAppendTime',
    'retention.ms': String(config.retentionMs),
    'cleanup.policy': 'delete',
    // With fewer copies in step an acknowledged batch could be lost with one disk.
    ...(config.replication > 2 && { 'min.insync.replicas': '2' }),
  };
}

/**
 * One right to write for all probes, not one a probe: Kafka looks through all entries of a topic at every request, and
 * whoever can make them can give himself any right, which the hub must not. What a probe writes counts only with its
 * signature, and a revoked one's is rejected at once.
 */
export function wantedOf({ config, env, hubPrincipal, ...terms }: PlanTerms): Wanted {
  const names = Object.values(topicNames(env));
  const { partitions, replication, groupId } = config;
  const onTopics = (principal: string, operations: readonly Operation[]) =>
    names.map((name): Right => ({ principal, resource: { type: 'topic', name }, operations }));
  const { probePrincipals, probeBytesPerSecond } = terms;
  return {
    topics: names.map((topic) => ({ topic, partitions, replication, configs: topicConfigs(config) })),
    rights: [
      ...(hubPrincipal === null
        ? []
        : [
            ...onTopics(hubPrincipal, ['Read', 'Write', 'Describe', 'DescribeConfigs']),
            {
              principal: hubPrincipal,
              resource: { type: 'group', name: groupId } as const,
              operations: ['Read', 'Describe'] as const,
            },
          ]),
      ...probePrincipals.flatMap((principal) => onTopics(principal, ['Write'])),
    ],
    quotas: probeBytesPerSecond === null ? [] : quotasOf(probeBytesPerSecond, hubPrincipal),
  };
}

function quotasOf(bytesPerSecond: number, hubPrincipal: string | null): Quota[] {
  const hub = hubPrincipal?.replace(/^User:/, '');
  return [
    // The hub's first: between the two it would be held back.
    ...(hub === undefined
      ? []
      : [
          { user: hub, key: 'producer_byte_rate', value: hubQuotas.producer_byte_rate } as const,
          { user: hub, key: 'request_percentage', value: hubQuotas.request_percentage } as const,
        ]),
    { user: null, key: 'producer_byte_rate', value: bytesPerSecond },
    { user: null, key: 'request_percentage', value: probeRequestPercent },
  ];
}

/** Each thing that is wanted, with whether it is there. */
export function planSteps(wanted: Wanted, present: Present): Step[] {
  return [
    ...wanted.topics.flatMap((topic) => topicSteps(topic, present)),
    ...wanted.rights.map((right) => rightStep(right, present.rights)),
    ...[...Map.groupBy(wanted.quotas, ({ user }) => user)].map(([user, quotas]) =>
      quotaStep(user, quotas, present.quotas),
    ),
  ];
}

function topicSteps(topic: WantedTopic, { topics }: Present): Step[] {
  const there = topics.get(topic.topic);
  const partitions = there?.partitions ?? topic.partitions;
  const what = `topic ${topic.topic}, ${partitions} partitions`;
  const first: Step = { kind: 'topic', topic, what, state: there ? 'there' : 'missing' };
  if (!there || there.timestampType === 'LogAppendTime') return [first];
  return [
    first,
    {
      kind: 'time',
      name: topic.topic,
      what: `topic ${topic.topic}: message.timestamp.type=LogAppendTime`,
      state: 'missing',
      note: `it is ${there.timestampType}: a probe's clock would be believed`,
    },
  ];
}

function rightStep(right: Right, granted: Present['rights']): Step {
  const { principal, resource, operations } = right;
  const of = (some: readonly Operation[]) =>
    `${principal} may ${some.join(', ')} on ${resource.type} ${resource.name}`;
  if (typeof granted === 'string') {
    return { kind: 'right', right, what: of(operations), state: 'unknown', note: granted };
  }
  const missing = operations.filter((operation) => !granted.some((one) => gives(one, right, operation)));
  const denied = granted.some(
    (one) => !one.allow && operations.some((operation) => gives(one, right, operation, true)),
  );
  return {
    kind: 'right',
    right: missing.length > 0 ? { ...right, operations: missing } : right,
    what: of(missing.length > 0 ? missing : operations),
    state: missing.length > 0 ? 'missing' : 'there',
    ...(denied && { note: 'another entry denies it, which goes before: remove that' }),
  };
}

function gives(
  one: GrantedRight,
  { principal, resource }: Right,
  operation: Operation,
  deny = false,
): boolean {
  const { name } = one.resource;
  const sameName = one.prefix ? resource.name.startsWith(name) : name === resource.name || name === '*';
  const samePrincipal = one.principal === principal || (deny && one.principal === 'User:*');
  const implied = !deny && operation === 'Describe' && ['Read', 'Write'].includes(one.operation);
  const sameOperation = one.operation === operation || one.operation === 'All' || implied;
  return (
    one.allow !== deny && one.resource.type === resource.type && sameName && samePrincipal && sameOperation
  );
}

function quotaStep(user: string | null, quotas: readonly Quota[], present: Present['quotas']): Step {
  const whose = user === null ? 'every principal without a quota of its own' : `User:${user}`;
  const base = { kind: 'quota', user } as const;
  const what = (some: readonly Quota[]) =>
    `${whose}: ${some.map(({ key, value }) => `${key}=${value}`).join(', ')}`;
  if (typeof present === 'string') {
    return { ...base, quotas, what: what(quotas), state: 'unknown', note: present };
  }
  const own = present.filter((one) => one.user === user);
  const missing = quotas.filter(({ key }) => !own.some((one) => one.key === key));
  if (missing.length > 0) return { ...base, quotas: missing, what: what(missing), state: 'missing' };
  const other = quotas.some((one) => !own.some(({ key, value }) => key === one.key && value === one.value));
  return { ...base, quotas, what: what(other ? own : quotas), state: other ? 'kept' : 'there' };
}

/** What an admin of the cluster would type; `--command-config` names a file with an admin's credentials. */
export function commandOf(step: Step, brokers: readonly string[]): string {
  const to = `--bootstrap-server ${brokers.join(',')} --command-config admin.properties`;
  if (step.kind === 'topic') {
    const { topic, partitions, replication, configs } = step.topic;
    const settings = Object.entries(configs).map(([name, value]) => ` --config ${name}=${value}`);
    return `kafka-topics.sh ${to} --create --if-not-exists --topic ${topic} --partitions ${partitions} --replication-factor ${replication}${settings.join('')}`;
  }
  if (step.kind === 'time') {
    return `kafka-configs.sh ${to} --alter --entity-type topics --entity-name ${step.name} --add-config message.timestamp.type=LogAppendTime`;
  }
  if (step.kind === 'right') {
    const { principal, resource, operations } = step.right;
    const all = operations.map((operation) => ` --operation ${operation}`).join('');
    return `kafka-acls.sh ${to} --add --allow-principal '${principal}'${all} --${resource.type} ${resource.name}`;
  }
  const entity = step.user === null ? '--entity-default' : `--entity-name ${step.user}`;
  const settings = step.quotas.map(({ key, value }) => `${key}=${value}`).join(',');
  return `kafka-configs.sh ${to} --alter --entity-type users ${entity} --add-config ${settings}`;
}
