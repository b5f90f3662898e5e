import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { HubLink, Identity } from '../hub/hub-link.ts';
import { openSpool } from '../spool/open-spool.ts';
import { defaultSpoolLimits, type Spool, type SpoolLimits } from '../spool/spool.ts';
import { createAccessTokens } from './access-token.ts';
import { type DeliverOptions, startDelivery } from './deliver.ts';
import { createHubLoss, type HubLoss } from './hub-loss.ts';
import { type ClientCertificate, createKafkaWay } from './kafka-way.ts';
import type { Outbox, OutboxStatus, OutboxTerms } from './outbox.ts';
import { createOutboxMetrics } from './outbox-metrics.ts';
import type { DeliveryPlan } from './plan.ts';
import { createRelay } from './relay.ts';
import { findStreams, makeStream, removeStream } from './stream-folders.ts';
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
  /** For brokers that ask for a client's certificate. */
  readonly kafkaCertificate?: (() => ClientCertificate) | null;
  readonly timing?: OutboxTiming;
}

/** Waits and deadlines, which tests shorten. */
export type OutboxTiming = Pick<DeliverOptions, 'pauseMs' | 'parkMs' | 'parkTries' | 'backlogPerSecond'> &
  Pick<WaysOptions, 'restMs'> & {
    readonly relayTimeoutMs?: number;
    readonly kafkaTimeoutMs?: number;
    readonly hubLoss?: readonly [ms: number, leases: number];
  };

interface Stream {
  readonly spool: Spool;
  readonly plan: DeliveryPlan;
  readonly loss: HubLoss;
  /** The hub has other batches under its numbers: nothing it says of them is of ours. */
  rolledBack: boolean;
}

const urgentMs = 100;
/** While nothing gets out nothing is urgent: fuller batches keep a long outage small. */
const troubleLingerMs = 30_000;
/** What a lease request may name. */
const mostStreams = 64;

/** Opens the spool, repairs it and begins to deliver what it holds. Rejects with the disk's own error. */
export async function openOutbox(options: OutboxOptions): Promise<Outbox> {
  const { dir, identity, link, log, now, registry, kafkaCertificate, timing = {} } = options;
  const limits = { ...defaultSpoolLimits, ...options.limits };
  const ended = new AbortController();
  const token = createAccessTokens(link, ended.signal);
  const clientId = `parallax-probe-${identity.probeId}`;
  const ways = createWays({
    delivery: options.delivery,
    relay: createRelay(link, timing.relayTimeoutMs),
    openKafka: (access) =>
      createKafkaWay({
        access,
        token,
        certificate: kafkaCertificate ?? null,
        clientId,
        log,
        ...(timing.kafkaTimeoutMs !== undefined && { timeoutMs: timing.kafkaTimeoutMs }),
      }),
    log,
    onTried: (way, outcome) => metrics.tried(way, outcome),
    ...(timing.restMs && { restMs: timing.restMs }),
  });
  const delivery = startDelivery({
    ...timing,
    way: ways,
    log,
    onTrouble: setPace,
    onLost: (batches) => metrics.lost(batches),
  });
  /** The one that results are added to first. */
  const streams: Stream[] = [];
  let terms: OutboxTerms = { leaseVersion: 0, lingerMs: 1000, durable: [], kafka: null };
  let stopping = false;
  const halted = Promise.withResolvers<void>();
  /** One change of streams at a time. */
  let changing: Promise<void> | null = null;
  const metrics = createOutboxMetrics(() => {
    const waiting = streams.reduce((sum, { spool }) => sum + spool.status().waiting, 0);
    return { waiting, open: delivery.open() };
  }, registry);

  function setPace(): void {
    const held = delivery.trouble() !== null;
    const lingerMs = held ? Math.max(terms.lingerMs, troubleLingerMs) : terms.lingerMs;
    const { leaseVersion, batchSchema } = terms;
    const urgent = held ? lingerMs : urgentMs;
    const pace = { leaseVersion, ...(batchSchema && { batchSchema }), lingerMs, urgentMs: urgent };
    for (const { spool } of streams) spool.setPace(pace);
  }

  async function open(stream: string): Promise<Stream> {
    let plan: DeliveryPlan | null = null;
    const early: number[] = [];
    const spool = await openSpool({
      dir: join(dir, stream),
      stream,
      identity,
      limits,
      log,
      now,
      onSealed(seq) {
        if (plan) plan.sealed(seq);
        else early.push(seq);
        delivery.nudge();
      },
      onDropped: (first, last) => plan?.gone(first, last),
    });
    plan = delivery.attach(spool);
    for (const seq of early) plan.sealed(seq);
    return { spool, plan, loss: createHubLoss(...(timing.hubLoss ?? [])), rolledBack: false };
  }

  function current(): Stream {
    const [first] = streams;
    if (!first) throw new Error('the outbox has no stream');
    return first;
  }

  async function endEmptied(): Promise<void> {
    for (const each of streams.slice(1)) {
      const { lastSeq, durable, waiting } = each.spool.status();
      if (waiting > 0 || durable < lastSeq) continue;
      await end(each);
      log.info({ stream: each.spool.stream }, 'an old spool is empty: removed');
    }
  }

  async function end(stream: Stream): Promise<void> {
    streams.splice(streams.indexOf(stream), 1);
    delivery.detach(stream.spool);
    await stream.spool.close();
    await removeStream(dir, stream.spool.stream);
  }

  /**
   * The hub has numbers that were never sent from here: the folder was put back from a backup. Whatever now gets one of
   * them would be taken for a repetition, so what is here goes into a new stream. What the hub has of it after all it
   * recognises by the slot.
   */
  async function leaveRolledBack(left: Stream): Promise<void> {
    if (left === current()) {
      log.error(
        { stream: left.spool.stream },
        'the hub has more of this spool than is here: was the folder restored? A new stream begins',
      );
      streams.unshift(await open(await makeStream(dir, identity, now())));
      setPace();
    }
    delivery.detach(left.spool);
    await left.spool.sealNow();
    const { waiting, trouble } = left.spool.status();
    if (waiting > 0)
      throw new Error(`what waits in stream ${left.spool.stream} cannot be sealed: ${trouble}`);
    for await (const results of left.spool.kept()) {
      const { spool } = current();
      // On disk before what it is copied from is gone; a disk that takes nothing holds up no stop.
      await Promise.race([Promise.all(results.map((one) => spool.add(one, false))), halted.promise]);
      if (stopping) return;
    }
    await end(left);
  }

  /** The hub's database came back from a backup: what it said was durable then is not. */
  async function tellLoss({ spool, plan }: Stream, upTo: number): Promise<void> {
    const { durable } = spool.status();
    const here = await spool.lostAbove(upTo);
    plan.lostAbove(upTo, here);
    const again = here.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    log.error(
      { stream: spool.stream, fromSeq: upTo + 1, toSeq: durable, again },
      'the hub has lost batches that it had told were durable: those still here are sent again, the rest is said to be lost in a gap record',
    );
    delivery.nudge();
  }

  function change(what: () => Promise<void>): void {
    if (stopping) return;
    changing ??= what()
      .catch((error: unknown) => log.warn({ err: error }, 'the streams of the spool could not be changed'))
      .finally(() => {
        changing = null;
      });
  }

  const found = await findStreams(dir, identity, log);
  if (found.old.length > 0)
    log.warn({ streams: found.old.length }, 'old spools are delivered beside the new');
  for (const stream of found.old) streams.push(await open(stream));
  streams.unshift(await open(found.current ?? (await makeStream(dir, identity, now()))));
  setPace();

  return {
    async add(result, urgent) {
      await current().spool.add(result, urgent);
      metrics.added();
    },
    obey(next) {
      terms = next;
      ways.obey(next.kafka);
      for (const each of streams) {
        const { spool, plan, loss } = each;
        const upTo = next.durable.find(({ stream }) => stream === spool.stream)?.upTo ?? 0;
        each.rolledBack ||= upTo > spool.status().lastSeq || plan.neverSent(upTo);
        if (each.rolledBack) {
          change(() => leaveRolledBack(each));
          continue;
        }
        // Streams past those asked for are not spoken of.
        const told = streams.indexOf(each) < mostStreams;
        const { durable } = spool.status();
        if (loss.hears(told ? upTo : durable, durable, performance.now())) change(() => tellLoss(each, upTo));
        spool.durableTo(upTo);
        plan.durable(upTo, performance.now());
      }
      if (streams.length > 1) change(endEmptied);
      setPace();
      delivery.nudge();
    },
    status(): OutboxStatus {
      const all = streams.map(({ spool }) => ({ stream: spool.stream, ...spool.status() }));
      const disk = all.find(({ trouble }) => trouble !== null)?.trouble ?? null;
      return {
        spoolBytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
        dropped: all.reduce((sum, { dropped }) => sum + dropped, 0),
        streams: all.slice(0, mostStreams).map(({ stream, lastSeq }) => ({ stream, lastSeq })),
        way: delivery.trouble() === null ? ways.current() : null,
        trouble: delivery.trouble() ?? disk,
      };
    },
    async stop(signal) {
      stopping = true;
      halted.resolve();
      await changing;
      await Promise.all(streams.map(({ spool }) => spool.sealNow()));
      await delivery.drain(signal);
      ended.abort(new Error('the probe is stopping'));
      await delivery.stop();
      await ways.close();
      await Promise.all(streams.map(({ spool }) => spool.close()));
    },
  };
}
