import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { createKafkaWay } from '../../../probe/deliver/kafka-way.ts';
import { quiet } from '../../hub/ingest/scene.ts';

test('who stops does not wait for a broker that takes connections and never answers', async () => {
  const sockets = new Set<Socket>();
  const broker = createServer((socket) => void sockets.add(socket.on('error', () => undefined)));
  broker.listen(0, '127.0.0.1');
  await once(broker, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    broker.close();
  });
  const { port } = broker.address() as AddressInfo;
  const way = createKafkaWay({
    access: { brokers: [`127.0.0.1:${port}`], topic: 'results', auth: 'none', tls: false, ca: null },
    token: async () => '',
    certificate: null,
    clientId: 'test',
    log: quiet,
  });
  const stopping = new AbortController();
  const headers = { kid: 'k', sig: new Uint8Array(64), schema: '1' };
  const sent = way.send({ key: 'a', value: new Uint8Array(10), headers }, stopping.signal);
  await once(broker, 'connection');
  const beganMs = performance.now();
  stopping.abort();
  await expect(sent).rejects.toMatchObject({ name: 'DeliveryError', kind: 'away' });
  await way.close();
  expect(performance.now() - beganMs).toBeLessThan(2000);
  await expect(
    way.send({ key: 'a', value: new Uint8Array(10), headers }, new AbortController().signal),
  ).rejects.toThrow('the probe is stopping');
});
