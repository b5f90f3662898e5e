import type { Kafka } from 'kafkajs';
import type { Quota } from './cluster-plan.ts';
import { askController, wire } from './kafka-wire.ts';

const matchAnySpecified = 2;

/** Every quota of users. Throws where the cluster refuses, or kafkajs is another. */
export async function listUserQuotas(kafka: Kafka): Promise<Quota[]> {
  const components = wire.list([
    Buffer.concat([wire.text('user'), wire.int8(matchAnySpecified), wire.text(null)]),
  ]);
  return askController(kafka, {
    apiKey: 48,
    apiName: 'DescribeClientQuotas',
    apiVersion: 0,
    // Strict: none that also names a client id.
    body: Buffer.concat([components, wire.int8(1)]),
    read(reader) {
      reader.int32();
      reader.refuse();
      return reader
        .list(() => {
          const [user] = reader.list(() => ({ type: reader.text(), name: reader.text() }));
          const values = reader.list(() => ({ key: reader.text() ?? '', value: reader.float64() }));
          return values.map(({ key, value }) => ({ user: user?.name ?? null, key, value }) as Quota);
        })
        .flat();
    },
  });
}

/** Throws what Kafka says where it refuses one of them. */
export async function setUserQuotas(kafka: Kafka, quotas: readonly Quota[]): Promise<void> {
  // An entity may stand in the request once.
  const entries = [...Map.groupBy(quotas, ({ user }) => user)].map(([user, own]) =>
    Buffer.concat([
      wire.list([Buffer.concat([wire.text('user'), wire.text(user)])]),
      wire.list(
        own.map(({ key, value }) => Buffer.concat([wire.text(key), wire.float64(value), wire.int8(0)])),
      ),
    ]),
  );
  await askController(kafka, {
    apiKey: 49,
    apiName: 'AlterClientQuotas',
    apiVersion: 0,
    body: Buffer.concat([wire.list(entries), wire.int8(0)]),
    read(reader) {
      reader.int32();
      reader.list(() => {
        reader.refuse();
        reader.list(() => [reader.text(), reader.text()]);
      });
    },
  });
}
