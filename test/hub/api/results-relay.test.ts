import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { relayRoutes } from '../../../hub/api/results-relay.ts';
import type { Bus } from '../../../hub/ingest/bus.ts';
import { createDirectBus } from '../../../hub/ingest/direct-bus.ts';
import { Problem } from '../../../hub/problem.ts';
import { maxBatchBytes, type SealedBatch } from '../../../shared/batch.ts';
import { relayHeaders, relayHeadersOf, relayPath } from '../../../shared/relay.ts';
import { batchOf, quiet, seal, type TestProbe } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const probe: TestProbe = {
  id: 1,
  name: 'test',
  regionId: 1,
  kid: 'k'.repeat(43),
  status: 'active',
  publicKey,
  privateKey,
};
const batch = seal(probe, batchOf(probe));

interface Scene {
  readonly bus: Bus;
  readonly arrived: SealedBatch[];
  post(init?: { batch?: SealedBatch; headers?: Record<string, string>; body?: BodyInit }): Promise<Response>;
}

async function scene(
  options: { maxInFlight?: number; maxOfProbe?: number; prove?: (body: Uint8Array) => Promise<void> } = {},
): Promise<Scene> {
  const arrived: SealedBatch[] = [];
  const bus = createDirectBus({ log: quiet });
  await bus.start(async (batches) => {
    for (const { key, value, headers } of batches) arrived.push({ key: key ?? '', value, headers });
  });
  const app = relayRoutes({
    bus,
    async prove(_, read) {
      const body = await read(probe);
      await options.prove?.(body);
      return { probe, body };
    },
    ...(options.maxInFlight !== undefined && { maxInFlight: options.maxInFlight }),
    ...(options.maxOfProbe !== undefined && { maxOfProbe: options.maxOfProbe }),
  });
  app.onError((error) => {
    if (!(error instanceof Problem)) throw error;
    return Response.json({ code: error.code }, { status: error.status, headers: error.headers });
  });
  return {
    bus,
    arrived,
    post: async ({ batch: sent = batch, headers = {}, body = Buffer.from(sent.value) } = {}) =>
      app.request(relayPath, {
        method: 'POST',
        headers: { ...relayHeadersOf(sent), ...headers },
        body,
        ...(body instanceof ReadableStream && { duplex: 'half' }),
      }),
  };
}

const codeOf = async (response: Response) => [response.status, (await response.json()).code];

describe('the relay', () => {
  test('puts the very bytes on the bus', async () => {
    const { post, arrived } = await scene();
    const response = await post();
    expect([response.status, await response.text()]).toEqual([204, '']);
    await until(() => arrived.length === 1);
    expect(arrived[0]?.key).toBe(batch.key);
    expect(Buffer.from(arrived[0]?.value ?? []).equals(batch.value)).toBe(true);
    expect(arrived[0]?.headers).toEqual({
      kid: batch.headers.kid,
      schema: batch.headers.schema,
      sig: Buffer.from(batch.headers.sig),
    });
  });

  test.each([
    [relayHeaders.stream, 'A'.repeat(32)],
    [relayHeaders.stream, ''],
    [relayHeaders.kid, 'short'],
    [relayHeaders.signature, 'x'],
    [relayHeaders.schema, '1.0'],
    [relayHeaders.schema, '-1'],
  ])('refuses a header %s of %j', async (name, value) => {
    const { post, arrived } = await scene();
    expect(await codeOf(await post({ headers: { [name]: value } }))).toEqual([400, 'relay.header']);
    expect(arrived).toEqual([]);
  });

  test('refuses a batch sealed with another key than the request', async () => {
    const { post } = await scene();
    const response = await post({ headers: { [relayHeaders.kid]: 'o'.repeat(43) } });
    expect(await codeOf(response)).toEqual([403, 'relay.foreign']);
  });

  test('shows the body it read to the proof, and takes nothing that is not proven', async () => {
    const seen: Uint8Array[] = [];
    const { post, arrived } = await scene({
      async prove(body) {
        seen.push(body);
        throw new Problem(401, 'proof.invalid', 'no');
      },
    });
    expect(await codeOf(await post())).toEqual([401, 'proof.invalid']);
    expect(Buffer.from(seen[0] ?? []).equals(batch.value)).toBe(true);
    expect(arrived).toEqual([]);
  });

  test('reads no more than a batch, whatever length is named', async () => {
    const { post } = await scene();
    const large = Buffer.alloc(maxBatchBytes + 1);
    expect(await codeOf(await post({ body: large }))).toEqual([413, 'relay.too_large']);
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1;
        controller.enqueue(new Uint8Array(65_536));
      },
    });
    expect(await codeOf(await post({ body: endless }))).toEqual([413, 'relay.too_large']);
    expect(pulled).toBeLessThan(10);
  });

  test('serves so many at once and asks the others to come back', async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const { post } = await scene({ maxInFlight: 2, prove: () => gate });
    const first = [post(), post()];
    const third = await post();
    expect(third.headers.get('retry-after')).toBe('2');
    expect(await codeOf(third)).toEqual([503, 'bus.unavailable']);
    open();
    expect((await Promise.all(first)).map((response) => response.status)).toEqual([204, 204]);
    expect((await post()).status).toBe(204);
  });

  test('serves so many of one probe at once, that it keep no other out', async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const { post } = await scene({ maxInFlight: 10, maxOfProbe: 2, prove: () => gate });
    const first = [post(), post()];
    expect(await codeOf(await post())).toEqual([503, 'bus.unavailable']);
    open();
    expect((await Promise.all(first)).map((response) => response.status)).toEqual([204, 204]);
    expect((await post()).status).toBe(204);
  });

  test('reads nothing while the bus takes nothing', async () => {
    const { post, bus } = await scene();
    await bus.stop();
    let pulled = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull() {
          pulled += 1;
        },
      },
      { highWaterMark: 0 },
    );
    expect(await codeOf(await post({ body }))).toEqual([503, 'bus.unavailable']);
    expect(pulled).toBe(0);
  });
});
