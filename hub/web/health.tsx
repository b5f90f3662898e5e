import type { BusStatus } from '../ingest/bus.ts';
import type { ProbePresenceRow } from '../store/list-probe-presence.ts';
import type { Board } from './board.ts';
import { few, listed, span, whole } from './figures.ts';
import { Mark } from './marks.tsx';
import type { PageRegion } from './row.ts';

/** One line under the top of every page: whether what it shows can be trusted. */
export interface HubHealth {
  readonly behind: string | null;
  readonly bus: string;
  readonly rate: number;
  readonly probesSeen: number;
  readonly probesActive: number;
  readonly probesPending: number;
  /** Regions none of whose probes was seen for a minute, with how long; null for never. */
  readonly silent: readonly { readonly region: string; readonly seconds: number | null }[];
}

/** A probe asks for a lease every 8 s; unseen for 20 s it loses its shards (DESIGN, Shards). */
const probeSeenSeconds = 20;
/** None of a region's probes for so long: its views are unknown (DESIGN, Judgement). */
const regionSilentSeconds = 60;
/** Messages on the bus that are on their way and no more. */
const usualLag = 1000;
/** Without a good read for so long the page says so. */
const readLateSeconds = 10;

export function healthOf(
  board: Board,
  bus: BusStatus,
  nowSeconds: number,
  regions: readonly PageRegion[],
): HubHealth {
  const visible = new Set(regions.map(({ id }) => id));
  const probes = board.probes().filter(({ regionId, trusted }) => trusted && visible.has(regionId));
  const active = probes.filter(({ status }) => status === 'active');
  const silent = regions.flatMap(({ id, name }) => {
    const of = active.filter(({ regionId }) => regionId === id);
    if (of.length === 0) return [];
    const seenAt = of.reduce<number | null>((newest, probe) => later(newest, probe.seenAt), null);
    const seconds = seenAt === null ? null : nowSeconds - seenAt;
    return seconds === null || seconds > regionSilentSeconds ? [{ region: name, seconds }] : [];
  });
  const readAt = board.readAt();
  return {
    behind: behindOf(bus, readAt === null ? null : nowSeconds - readAt),
    bus: bus.lag === null ? 'direct bus' : `Kafka, ${few(bus.lag, 'message')} behind`,
    rate: board.rate(),
    probesSeen: active.filter((probe) => isSeen(probe, nowSeconds)).length,
    probesActive: active.length,
    probesPending: probes.filter(({ status }) => status === 'pending').length,
    silent,
  };
}

export function isSeen({ seenAt }: ProbePresenceRow, nowSeconds: number): boolean {
  return seenAt !== null && nowSeconds - seenAt <= probeSeenSeconds;
}

function later(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.max(a, b);
}

function behindOf(bus: BusStatus, readSeconds: number | null): string | null {
  if (readSeconds === null || readSeconds > readLateSeconds) return 'the database does not answer';
  if (!bus.ready) return bus.reason ?? 'the bus is not ready';
  if (bus.lag !== null && bus.lag > usualLag) return `${few(bus.lag, 'message')} wait, catching up`;
  return null;
}

/** Up to where the hub has come, epoch seconds: its own trouble makes no view unknown. */
export function asOf(board: Board, bus: BusStatus, nowSeconds: number): number {
  const behind = behindOf(bus, 0) !== null;
  return behind && board.newest() > 0 ? Math.min(nowSeconds, board.newest()) : nowSeconds;
}

export const HealthLine = ({ health }: { health: HubHealth }) => (
  <aside class="health" id="health" aria-label="The hub">
    {health.behind ? (
      <span class="degraded">
        <Mark state="degraded" />
        <b>Hub behind</b> {health.behind}
      </span>
    ) : (
      <span>
        <Mark state="up" />
        <b>Hub in step</b>
      </span>
    )}
    <span class="more">{health.rate < 10 ? health.rate.toFixed(1) : whole(health.rate)} results/s</span>
    <span class="more">{health.bus}</span>
    <span>
      {health.probesSeen} of {few(health.probesActive, 'probe')} seen
    </span>
    {health.probesPending > 0 && (
      <span>
        <a href="/probes">{few(health.probesPending, 'probe waits', 'probes wait')} for approval</a>
      </span>
    )}
    {health.silent.length > 0 && (
      <span class="unknown">
        <Mark state="unknown" />
        <b>{listed(health.silent.map(({ region }) => region))} silent</b>
        {health.silent.length === 1 &&
          health.silent[0]?.seconds != null &&
          ` ${span(health.silent[0].seconds)}`}
      </span>
    )}
  </aside>
);
