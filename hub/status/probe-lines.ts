import { bytes, few, listed, span, whole } from '../web/figures.ts';
import type { StatusFacts } from './facts.ts';
import { act, ok, type StatusLine, watch } from './line.ts';

/** A probe asks for a lease every 8 s; unseen for 20 s it loses its shards, and a minute is no accident. */
const behindSeconds = 60;
/** What lies in a spool between two batches is less, and no older. */
const stuckBytes = 256 * 1024;
const stuckSeconds = 180;
const spoolBytes = { watch: 16 * 1024 ** 2, act: 256 * 1024 ** 2 } as const;
/** Above it a probe's own machine is what it measures (DESIGN, honest latency). */
const noisyUs = 5000;

/** A machine whose clock is kept by NTP is within milliseconds. */
const wrongClockUs = 1_000_000;

type Probe = StatusFacts['probes'][number];

export function probeLines({
  probes,
  regions,
  nowUs,
  holes,
  lastingHoles,
  lastBatches,
}: StatusFacts): StatusLine[] {
  const seconds = nowUs / 1_000_000;
  const regionOf = new Map(regions.map(({ id, name }) => [id, name]));
  const named = (some: readonly Probe[]) =>
    listed(some.map(({ id, name, regionId }) => `${name} (${regionOf.get(regionId) ?? '?'}, ${id})`));
  const active = probes.filter(({ status }) => status === 'active');
  const pending = probes.filter(({ status }) => status === 'pending');
  const age = ({ seenAt }: Probe) => (seenAt === null ? null : seconds - seenAt);
  const unseen = active.filter((probe) => (age(probe) ?? Number.POSITIVE_INFINITY) > behindSeconds);
  const spooled = active.reduce((sum, { spoolBytes }) => sum + (spoolBytes ?? 0), 0);
  const facts = {
    active: active.length,
    unseen: unseen.length,
    pending: pending.length,
    spoolBytes: spooled,
  };
  if (active.length + pending.length === 0) {
    return [watch('probes', 'there are none', 'invite one: `parallax enroll --region NAME`', facts)];
  }
  const seen = `${whole(active.length - unseen.length)} of ${few(active.length, 'probe')} seen`;
  const lines: StatusLine[] = [ok('probes', `${seen}, ${bytes(spooled)} in their spools`, facts)];
  if (unseen.length > 0) {
    const oldest = unseen.reduce<number | null>((most, probe) => {
      const ago = age(probe);
      return ago === null ? most : Math.max(most ?? 0, ago);
    }, null);
    const since = oldest === null ? 'never seen' : `not seen for up to ${span(oldest)}`;
    const advice =
      "look at the machine, its way to the hub and the probe's log; for one that is gone: `parallax probes revoke ID`";
    lines.push(act('probes', `${since}: ${named(unseen)}`, advice, { unseen: unseen.length }));
  }
  const silent = regions.filter(({ id }) => {
    const there = active.filter(({ regionId }) => regionId === id);
    return there.length > 0 && there.every((probe) => unseen.includes(probe));
  });
  if (silent.length > 0) {
    lines.push(
      act(
        'probes',
        `nobody checks from ${listed(silent.map(({ name }) => name))}`,
        'its endpoints are unknown from there until a probe of it is back',
        { regions: silent.length },
      ),
    );
  }
  const ended = active.filter((probe) => probe.leaseExpiresAt !== null && probe.leaseExpiresAt < seconds);
  if (ended.length > 0) {
    lines.push(
      act(
        'probes',
        `the lease has ended of ${named(ended)}: they check nothing`,
        'see why they do not reach the hub',
        { ended: ended.length },
      ),
    );
  }
  const lastOf = new Map(lastBatches.map(({ probeId, secondsAgo }) => [probeId, secondsAgo]));
  const stuck = active.filter(
    (probe) =>
      !unseen.includes(probe) &&
      (probe.spoolBytes ?? 0) > stuckBytes &&
      (lastOf.get(probe.id) ?? Number.POSITIVE_INFINITY) > stuckSeconds,
  );
  if (stuck.length > 0) {
    const waits = Math.max(...stuck.map(({ id }) => lastOf.get(id) ?? 0));
    const since = waits > 0 ? `nothing for up to ${span(waits)}` : 'nothing yet';
    const advice =
      "they reach the hub for leases and not with results: see the probe's log, and its way to Kafka or the relay";
    lines.push(
      act('probes', `hold results and delivered ${since}: ${named(stuck)}`, advice, { stuck: stuck.length }),
    );
  }
  const full = active.filter((probe) => (probe.spoolBytes ?? 0) > spoolBytes.watch);
  if (full.length > 0) {
    const level = full.some((probe) => (probe.spoolBytes ?? 0) > spoolBytes.act) ? act : watch;
    const most = Math.max(...full.map((probe) => probe.spoolBytes ?? 0));
    const advice = 'what they hold is not durable here yet: see the bus, or their way to Kafka or the relay';
    lines.push(level('probes', `up to ${bytes(most)} wait at ${named(full)}`, advice, { most }));
  }
  const noisy = active.filter((probe) => !unseen.includes(probe) && (probe.noiseUs ?? 0) > noisyUs);
  if (noisy.length > 0) {
    const most = Math.max(...noisy.map((probe) => probe.noiseUs ?? 0));
    const advice = 'give them more CPU or fewer checks: a second probe in the region, or longer intervals';
    lines.push(
      watch('probes', `own delay of up to ${Math.round(most / 1000)} ms: ${named(noisy)}`, advice, { most }),
    );
  }
  const doubted = active.filter(
    (probe) => !unseen.includes(probe) && probe.networkState !== null && probe.networkState !== 'ok',
  );
  for (const probe of doubted) {
    const advice =
      'nothing of it counts against targets meanwhile: see the network of its machine (docs/network.md)';
    const says = `the network of ${named([probe])} is ${probe.networkState}: ${probe.networkWhy ?? ''}`;
    lines.push(watch('probes', says, advice, { probe: probe.id, network: probe.networkState }));
  }
  const wrongClocks = active.filter(
    (probe) => !unseen.includes(probe) && Math.abs(probe.clockOffsetUs ?? 0) > wrongClockUs,
  );
  if (wrongClocks.length > 0) {
    const most = Math.max(...wrongClocks.map((probe) => Math.abs(probe.clockOffsetUs ?? 0)));
    const advice = 'slots run on hub time, so no result is wrong: set the clock all the same, for its log';
    const says = `a clock that is off by up to ${span(most / 1_000_000)}: ${named(wrongClocks)}`;
    lines.push(watch('probes', says, advice, { most }));
  }
  const dropping = active.filter(({ dropped }) => (dropped ?? 0) > 0);
  if (dropping.length > 0) {
    const sum = dropping.reduce((total, { dropped }) => total + (dropped ?? 0), 0);
    const advice =
      'their disk was full or their spool damaged: each loss is in a signed gap record (table gaps)';
    lines.push(watch('probes', `${few(sum, 'result')} lost at ${named(dropping)}`, advice, { dropped: sum }));
  }
  if (pending.length > 0) {
    lines.push(
      watch('probes', `wait to be approved: ${named(pending)}`, '`parallax probes approve ID`', {
        pending: pending.length,
      }),
    );
  }
  return [...lines, ...holeLines(holes, lastingHoles)];
}

function holeLines(holes: StatusFacts['holes'], lasting: StatusFacts['lastingHoles']): StatusLine[] {
  const lines: StatusLine[] = [];
  const lastingStreams = new Set(lasting.map(({ stream }) => stream));
  const passing = holes.filter(({ stream }) => !lastingStreams.has(stream));
  const between = ({ from_seq, to_seq }: StatusFacts['holes'][number]) => `${from_seq} to ${to_seq}`;
  if (lasting.length > 0) {
    const what = listed([...new Set(lasting.map((hole) => `${hole.probe} has under ${between(hole)}`))]);
    const advice =
      "see the probe's log for why it does not send it; one that is gone for good: `parallax probes revoke ID`, then nobody waits for it";
    const says = `what ${what} is missing for longer than it takes to send it again`;
    lines.push(act('probes', says, advice, { lastingHoles: lasting.length }));
  }
  if (passing.length > 0) {
    const where = listed([...new Set(passing.map((hole) => `${hole.probe} ${between(hole)}`))]);
    const advice = 'probes send again after 30 s; a hole that stays for 10 minutes raises an alarm';
    lines.push(
      watch('probes', `${few(passing.length, 'hole')} in streams: ${where}`, advice, {
        holes: passing.length,
      }),
    );
  }
  return lines;
}

const manyRejects = 1000;

export function rejectLines({ rejects }: StatusFacts): StatusLine[] {
  if (rejects.length === 0) return [ok('rejects', 'none in this hour and the last', { count: 0 })];
  const advice = '`parallax rejects` shows which and why';
  return rejects.map(({ reason, count, probe, probeCount }) => {
    const mostly = probe === null ? '' : `, ${probeCount === count ? 'all' : 'most'} of ${probe}`;
    const says = `${whole(count)} refused as ${reason} in this hour and the last${mostly}`;
    return (count > manyRejects ? act : watch)('rejects', says, advice, { reason, count, probe });
  });
}

export function alarmLines({ alarms, nowUs }: StatusFacts): StatusLine[] {
  return alarms.map(({ action, subject, count, at }) => {
    const ago = span(nowUs / 1_000_000 - at.getTime() / 1000);
    const says = `${action}: ${few(count, 'time')} in a day, last ${ago} ago (${subject})`;
    return watch('alarms', says, '`parallax audit` tells of it', { action, count });
  });
}
