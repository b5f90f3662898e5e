import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { HubLink, Identity } from '../hub/hub-link.ts';
import { readHead, writeHead } from '../spool/head-file.ts';
import { defaultSpoolLimits, openSpool, type Spool, type SpoolLimits } from '../spool/spool.ts';
import { createAccessTokens } from './access-token.ts';
import { type DeliverOptions, startDelivery } from './deliver.ts';
import { createKafkaWay } from './kafka-way.ts';
import type { Outbox, OutboxTerms } from './outbox.ts';
import { createOutboxMetrics } from './outbox-metrics.ts';
import type { DeliveryPlan } from './plan.ts';
import { createRelay } from './relay.ts';
import { createWays, type Delivery, type WaysOptions } from './ways.ts';

export interface OutboxOptions {
  /** The spool's folder; whoever locked `--data` owns it. */
  readonly dir: string;
  readonly identity: Identity;
  readonly link: HubLink;
  readonly delivery: Delivery;
  readonly log: Logger;
  /** Epoch microseconds, hub time. */
  readonly now: () => number;
  readonly limits?: Partial<SpoolLimits>;
  readonly registry?: Registry;
  /** PEM, for brokers that ask for a client's certificate. */
  readonly kafkaCertificate?: { readonly cert: string; readonly key: string };
  readonly timing?: Pick<DeliverOptions, 'pauseMs' | 'parkMs' | 'parkTries' | 'backlogPerSecond'> &
    Pick<WaysOptions, 'restMs'> & { readonly relayTimeoutMs?: number; readonly kafkaTimeoutMs?: number };
}

interface Stream {
  readonly spool: Spool;
  readonly plan: DeliveryPlan;
}

const streamFolder = /^[0-9a-f]{32}$/;
const urgentMs = 100;
/** While nothing gets out nothing is urgent: fuller batches keep a long outage small. */
const troubleLingerMs = 30_000;

/** Opens the spool, repairs it and begins to deliver what it holds. Rejects with the disk's own error. */
export async function openOutbox(options: OutboxOptions): Promise<Outbox> {
  const { dir, identity, link, log, now, timing = {} } = options;
  const limits: SpoolLimits = { ...defaultSpoolLimits, ...options.limits };
  const ended = new AbortController();
  const ways = createWays({
    delivery: options.delivery,
    relay: createRelay(link, timing.relayTimeoutMs),
    openKafka: (access) =>
      createKafkaWay({
        access,
        token: createAccessTokens(link, ended.signal),
        certificate: options.kafkaCertificate ?? null,
        clientId: `parallax-probe-${identity.probeId}`,
        log,
        ...(timing.kafkaTimeoutMs && { timeoutMs: timing.kafkaTimeoutMs }),
      }),
    log,
    onTried: (way, outcome) => metrics.tried(way, outcome),
    ...(timing.restMs && { restMs: timing.restMs }),
  });
  const delivery = startDelivery({ ...timing, way: ways, log, onTrouble: setPace });
  const streams: Stream[] = [];
  let terms: OutboxTerms = { leaseVersion: 0, lingerMs: 1000, durable: [], kafka: null };

  const metrics = createOutboxMetrics(() => {
    const all = streams.map(({ spool }) => spool.status());
    const sum = (key: 'bytes' | 'dropped' | 'waiting') =>
      all.reduce((total, status) => total + status[key], 0);
    return { bytes: sum('bytes'), dropped: sum('dropped'), waiting: sum('waiting'), open: delivery.open() };
  }, options.registry);

  function setPace(): void {
    const inTrouble = delivery.trouble() !== null;
    const lingerMs = inTrouble ? Math.max(terms.lingerMs, troubleLingerMs) : terms.lingerMs;
    const pace = { leaseVersion: terms.leaseVersion, lingerMs, urgentMs: inTrouble ? lingerMs : urgentMs };
    for (const { spool } of streams) spool.setPace(pace);
  }

  async function open(stream: string): Promise<Stream> {
    let plan: DeliveryPlan | null = null;
    const sealedEarly: number[] = [];
    const spool = await openSpool({
      dir: join(dir, stream),
      stream,
      identity,
      limits,
      log,
      now,
      onSealed(seq) {
        if (plan) plan.sealed(seq);
        else sealedEarly.push(seq);
        delivery.nudge();
      },
      onDropped: (first, last) => plan?.gone(first, last),
    });
    plan = delivery.attach(spool);
    for (const seq of sealedEarly) plan.sealed(seq);
    return { spool, plan };
  }

  const { current, old } = await findStreams(dir, identity, log);
  const stream = current ?? (await makeStream(dir, identity, now()));
  const first = await open(stream);
  streams.push(first);
  for (const each of old) streams.push(await open(each));
  setPace();
  delivery.nudge();

  async function endOld(): Promise<void> {
    for (const each of streams.slice(1)) {
      const { lastSeq, durable, waiting } = each.spool.status();
      if (waiting > 0 || durable < lastSeq) continue;
      streams.splice(streams.indexOf(each), 1);
      delivery.detach(each.spool);
      await each.spool.close();
      await rm(join(dir, each.spool.stream), { recursive: true, force: true });
      log.info({ stream: each.spool.stream }, 'an old spool is empty: removed');
    }
  }

  return {
    async add(result, urgent) {
      await first.spool.add(result, urgent);
      metrics.added();
    },
    obey(next) {
      terms = next;
      ways.obey(next.kafka);
      for (const { stream: id, upTo } of next.durable) {
        const found = streams.find(({ spool }) => spool.stream === id);
        found?.spool.durableTo(upTo);
        found?.plan.durable(upTo, performance.now());
      }
      setPace();
      delivery.nudge();
      void endOld().catch((error: unknown) => log.warn({ err: error }, 'an old spool could not be removed'));
    },
    status() {
      const all = streams.map(({ spool }) => ({ stream: spool.stream, ...spool.status() }));
      const broken = all.find(({ trouble }) => trouble !== null)?.trouble ?? null;
      const trouble = delivery.trouble() ?? broken;
      return {
        spoolBytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
        dropped: all.reduce((sum, { dropped }) => sum + dropped, 0),
        streams: all.slice(0, 64).map(({ stream: id, lastSeq }) => ({ stream: id, lastSeq })),
        way: delivery.trouble() === null ? ways.current() : null,
        trouble,
      };
    },
    async stop(signal) {
      await Promise.all(streams.map(({ spool }) => spool.sealNow()));
      await delivery.drain(signal);
      await delivery.stop();
      ended.abort(new Error('the probe is stopping'));
      await ways.close();
      await Promise.all(streams.map(({ spool }) => spool.close()));
    },
  };
}

/** The stream to go on with is the newest whose head can be read; the others are only emptied. */
async function findStreams(dir: string, identity: Identity, log: Logger) {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const old: string[] = [];
  let current: { readonly stream: string; readonly madeAt: number } | null = null;
  for (const stream of (await readdir(dir)).filter((name) => streamFolder.test(name)).sort()) {
    const folder = join(dir, stream);
    const head = await readHead(folder);
    if (
      head &&
      (head.kid !== identity.kid || head.probeId !== identity.probeId || head.regionId !== identity.region.id)
    ) {
      log.error(
        { stream, probeId: head.probeId },
        'a spool of another probe lies here: it is removed, nobody may speak for that one',
      );
      await rm(folder, { recursive: true, force: true });
    } else if (head && !head.closed && (!current || head.madeAt > current.madeAt)) {
      if (current) old.push(current.stream);
      current = { stream, madeAt: head.madeAt };
    } else if (head || (await readdir(folder)).some((name) => /^(sealed|journal)-/.test(name))) {
      old.push(stream);
    } else await rm(folder, { recursive: true, force: true });
  }
  if (old.length > 0) log.warn({ streams: old.length }, 'old spools hold results: they are delivered too');
  return { current: current?.stream ?? null, old };
}

async function makeStream(dir: string, identity: Identity, madeAt: number): Promise<string> {
  const stream = randomBytes(16).toString('hex');
  await mkdir(join(dir, stream), { mode: 0o700 });
  await writeHead(join(dir, stream), {
    probeId: identity.probeId,
    regionId: identity.region.id,
    kid: identity.kid,
    madeAt,
    reservedTo: 0,
    durable: 0,
    dropped: 0,
    closed: false,
  });
  return stream;
}
