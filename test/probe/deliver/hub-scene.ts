import type { AddressInfo } from 'node:net';
import { type ServerType, serve } from '@hono/node-server';
import { Hono } from 'hono';
import { relayRoutes } from '../../../hub/api/results-relay.ts';
import type { Bus } from '../../../hub/ingest/bus.ts';
import { Problem } from '../../../hub/problem.ts';
import { selectDurable } from '../../../hub/store/select-durable.ts';
import { type OutboxOptions, openOutbox } from '../../../probe/deliver/open-outbox.ts';
import type { Outbox } from '../../../probe/deliver/outbox.ts';
import type { KafkaAccess } from '../../../shared/lease.ts';
import { quiet, type Scene, type TestProbe } from '../../hub/ingest/scene.ts';
import { plainLink } from './scene.ts';

/** The hub's own relay, ingest and database, and what of a lease concerns an outbox. */
export interface HubScene {
  readonly origin: string;
  /** What becomes of an answer on its way back: 'lose' cuts the connection after the hub has done its work. */
  answers(how: () => 'pass' | 'lose' | 503): void;
  open(dir: string, over?: Partial<OutboxOptions>): Promise<Outbox>;
  /** Tells the outbox what a lease would. */
  lease(outbox: Outbox, kafka?: KafkaAccess | null): Promise<void>;
  /** Whether the hub has every batch that was sealed. */
  knowsAll(outbox: Outbox): Promise<boolean>;
  /** The same, and the outbox has been told. */
  settled(outbox: Outbox): Promise<boolean>;
  close(): Promise<void>;
}

export async function hubScene(scene: Scene, probe: TestProbe, bus: Bus): Promise<HubScene> {
  let how: () => 'pass' | 'lose' | 503 = () => 'pass';
  const app = new Hono();
  app.use(async (context, next) => {
    const fate = how();
    if (fate === 503) return context.body(null, 503, { 'retry-after': '0' });
    await next();
    if (fate === 'lose') {
      // What it answered never arrives.
      (context.env as { incoming: { destroy(): void } }).incoming.destroy();
    }
  });
  app.route('/', relayRoutes({ bus, prove: async (_, read) => ({ probe, body: await read(probe) }) }));
  app.onError((error, context) => {
    if (!(error instanceof Problem)) throw error;
    return context.json({ code: error.code, detail: error.message }, error.status as 503, error.headers);
  });
  const server: ServerType = await new Promise((resolve) => {
    const started: ServerType = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () =>
      resolve(started),
    );
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let version = 0;

  async function lease(outbox: Outbox, kafka: KafkaAccess | null = null): Promise<void> {
    const asked = outbox.status().streams.map(({ stream }) => ({ probeId: probe.id, stream }));
    const durable = (await selectDurable(scene.db, asked)).get(probe.id) ?? [];
    version += 1;
    outbox.obey({ leaseVersion: version, lingerMs: 50, durable, kafka });
  }

  async function knowsAll(outbox: Outbox): Promise<boolean> {
    const { streams } = outbox.status();
    const asked = streams.map(({ stream }) => ({ probeId: probe.id, stream }));
    const durable = (await selectDurable(scene.db, asked)).get(probe.id) ?? [];
    return streams.every(({ stream, lastSeq }) =>
      durable.some((known) => known.stream === stream && known.upTo >= lastSeq),
    );
  }

  return {
    origin,
    answers(next) {
      how = next;
    },
    async open(dir, over = {}) {
      const outbox = await openOutbox({
        dir,
        identity: {
          probeId: probe.id,
          region: { id: probe.regionId, name: 'eu-west' },
          hub: origin,
          key: probe.privateKey,
          kid: probe.kid,
        },
        link: plainLink(() => origin),
        delivery: 'relay',
        log: quiet,
        now: () => Date.now() * 1000,
        ...over,
        limits: { syncMs: 5, ...over.limits },
        timing: { pauseMs: [20, 200], relayTimeoutMs: 2000, ...over.timing },
      });
      await lease(outbox);
      return outbox;
    },
    lease,
    knowsAll,
    async settled(outbox) {
      await lease(outbox);
      return knowsAll(outbox);
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      if ('closeAllConnections' in server) server.closeAllConnections();
      await closed;
    },
  };
}
