import { randomBytes } from 'node:crypto';
import type { Operator } from '../api/operator.ts';
import type { Bus } from '../ingest/bus.ts';
import { Problem } from '../problem.ts';
import type { Board, Tick } from './board.ts';
import { createEventStream, type EventStream } from './event-stream.ts';
import { asOf, HealthLine, healthOf } from './health.tsx';
import type { PageRegion } from './row.ts';
import { createRowWatch } from './row-watch.ts';
import { endpointsFor, isCheckedFrom, regionsFor, rowFor } from './scope.ts';
import { createProbeUpdates, overviewUpdate, rowUpdate } from './updates.tsx';

export interface LiveOptions {
  readonly board: Board;
  readonly bus: Pick<Bus, 'status'>;
  /** Epoch microseconds. */
  readonly now: () => number;
  /** Streams open at once, of all operators. Default 500. */
  readonly maxClients?: number;
  /** Bytes that wait for one client before it gets no more than the newest, later. Default 64 KiB. */
  readonly maxWaiting?: number;
  /** Who takes nothing for so long is let go. Default 30 s. */
  readonly stuckMs?: number;
  /** A stream ends after so long and the browser opens another, so that a lost session is found out. Default 10 min. */
  readonly streamMs?: number;
}

export interface LiveRequest {
  readonly operator: Operator;
  /** The rows on the page, in whatever order; empty on the page of probes. */
  readonly endpointIds: readonly number[];
  readonly probes: boolean;
  readonly admin: boolean;
  /** The version of the page or of the last event it had; anything else counts as "nothing". */
  readonly since: string;
}

/** What a page shows changes in place, a few kilobytes a second; all streams live on the one read of the board. */
export interface Live {
  /** What a page is drawn from. */
  version(): string;
  /** Throws Problem 503 where too many are open. */
  open(request: LiveRequest): Response;
  clients(): number;
  stop(): void;
}

interface Client extends LiveRequest {
  readonly stream: EventStream;
  readonly regions: readonly PageRegion[];
  readonly ids: ReadonlySet<number>;
  readonly endsAt: number;
  /** Rows that changed while it did not keep up: it gets them whole, as they are by then. */
  readonly behind: Set<number>;
  /** Something other than its rows went by meanwhile. */
  lost: boolean;
  /** Since when it does not keep up; null while it does. */
  stuckSince: number | null;
  /** What it was last sent of these, so that it is not sent again. */
  health: string;
  overview: string;
  readonly probeUpdates: ReturnType<typeof createProbeUpdates> | null;
}

/** Most rows one stream may ask for: a page has a hundred. */
export const maxWatched = 200;
const beatMs = 5000;
const healthMs = 2000;
const sweepMs = 5000;
/** Most endpoints that one event names as moved; more are counted. */
const maxMoved = 20;

export function startLive(options: LiveOptions): Live {
  const {
    board,
    bus,
    now,
    maxClients = 500,
    maxWaiting = 65_536,
    stuckMs = 30_000,
    streamMs = 600_000,
  } = options;
  // Another replica, or this one after a restart, counts versions of its own.
  const boot = randomBytes(6).toString('hex');
  const clients = new Set<Client>();
  let watching: (() => void) | null = null;
  let [beatAt, healthAt, sweptAt] = [0, 0, 0];
  let sparking = false;

  const seconds = () => now() / 1e6;
  const fresh = () => asOf(board, bus.status(), seconds());
  const rowWatch = createRowWatch(board, fresh);
  const versionText = () => `${boot}.${board.version()}`;

  function onTick(tick: Tick): void {
    const at = performance.now();
    const [beat, health, sweep] = [at - beatAt >= beatMs, at - healthAt >= healthMs, at - sweptAt >= sweepMs];
    if (beat) beatAt = at;
    if (health) healthAt = at;
    if (sweep) sweptAt = at;
    const moved = rowWatch.moved(tick, sweep);
    const cells = rowWatch.changed(tick, watched());
    const cache = new Map<string, unknown>();
    for (const client of clients) {
      if (at > client.endsAt) leave(client);
      else if (!client.stream.keepsUp()) holdBack(client, tick, cells, at);
      else {
        catchUp(client);
        sendRows(client, cells, cache);
        if (tick.cast) client.stream.send('cast', {});
        if (moved.length > 0 && !client.operator.regions && !client.probes) {
          client.stream.send('moved', { rows: moved.slice(0, maxMoved), count: moved.length });
        }
        if (sweep && !client.probes) sendOverview(client, cache);
        if (health) sendHealth(client);
        if (beat) client.stream.send('beat', { now: seconds() });
      }
    }
    if (sweep) void refreshSparks();
  }

  function watched(): ReadonlySet<number> {
    return new Set([...clients].flatMap(({ endpointIds }) => endpointIds));
  }

  /** What a slow client missed is kept as a set of rows: it never has more waiting than one picture of its page. */
  function holdBack(
    client: Client,
    tick: Tick,
    cells: ReadonlyMap<number, ReadonlySet<number>>,
    at: number,
  ): void {
    client.stuckSince ??= at;
    if (at - client.stuckSince > stuckMs) {
      leave(client);
      return;
    }
    for (const id of cells.keys()) if (client.ids.has(id)) client.behind.add(id);
    client.lost ||= tick.cast;
  }

  function catchUp(client: Client): void {
    if (client.stuckSince === null) return;
    client.stuckSince = null;
    sendRows(client, new Map([...client.behind].map((id) => [id, null])), new Map());
    client.behind.clear();
    if (client.lost) client.stream.send('cast', {});
    client.lost = false;
  }

  function leave(client: Client): void {
    client.stream.end();
    clients.delete(client);
    if (clients.size > 0) return;
    watching?.();
    watching = null;
  }

  function sendRows(
    client: Client,
    cells: ReadonlyMap<number, ReadonlySet<number> | null>,
    cache: Map<string, unknown>,
  ): void {
    const scope = client.operator.regions?.join(' ') ?? '';
    const rows = [...cells].flatMap(([id, regions]) => {
      const endpoint = client.ids.has(id) && board.endpoint(id);
      if (!endpoint) return [];
      const key = `${id} ${scope}`;
      if (!cache.has(key))
        cache.set(key, rowUpdate(board, endpoint, client.regions, regions, seconds(), fresh()));
      return [cache.get(key)];
    });
    if (rows.length > 0) client.stream.send('rows', rows, versionText());
  }

  function sendOverview(client: Client, cache: Map<string, unknown>): void {
    const scope = client.operator.regions?.join(' ') ?? '';
    const key = `overview ${scope}`;
    const { regions } = client;
    if (!cache.has(key)) {
      const endpoints = endpointsFor(board, client.operator, regions);
      cache.set(key, overviewUpdate(board, endpoints, regions, fresh()));
    }
    const overview = cache.get(key);
    const text = JSON.stringify(overview);
    if (text !== client.overview) client.stream.send('overview', overview);
    client.overview = text;
  }

  function sendHealth(client: Client): void {
    const probes = client.probeUpdates?.(seconds());
    if (probes) client.stream.send('probes', probes);
    const health = String(<HealthLine health={healthOf(board, bus.status(), seconds(), client.regions)} />);
    if (health === client.health) return;
    client.health = health;
    client.stream.send('health', { html: health });
  }

  /** Sparks with holes are read again for all who look. */
  async function refreshSparks(): Promise<void> {
    if (sparking) return;
    sparking = true;
    try {
      await board.sparks([...watched()].flatMap((id) => board.endpoint(id) ?? []));
    } catch {
      // The board says so when its own read fails.
    } finally {
      sparking = false;
    }
  }

  function open(request: LiveRequest): Response {
    if (clients.size >= maxClients) {
      throw new Problem(503, 'live.full', 'too many pages are open: this one is not updated by itself', {
        headers: { 'retry-after': '30' },
      });
    }
    const regions = regionsFor(board, request.operator);
    const endpointIds = request.endpointIds.filter((id) => {
      const endpoint = board.endpoint(id);
      return endpoint && (!request.operator.regions || isCheckedFrom(endpoint, regions));
    });
    const client: Client = {
      ...request,
      endpointIds,
      regions,
      stream: createEventStream({ maxWaiting, onLeave: () => leave(client) }),
      ids: new Set(endpointIds),
      endsAt: performance.now() + streamMs,
      behind: new Set(),
      lost: false,
      stuckSince: null,
      health: '',
      overview: '',
      probeUpdates: request.probes ? createProbeUpdates(board, regions, request.admin) : null,
    };
    clients.add(client);
    sendRows(client, missed(client), new Map());
    const known = knownVersion(request.since);
    if (known !== null && known < board.castVersion()) client.stream.send('cast', {});
    client.stream.send('beat', { now: seconds() }, versionText());
    if (!watching) rowWatch.begin();
    rowWatch.note(client.ids);
    watching ??= board.watch(onTick);
    return new Response(client.stream.body, {
      headers: {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        // Nothing else comes over this connection: a hub that stops need not wait for it.
        connection: 'close',
        // nginx would gather events for seconds.
        'x-accel-buffering': 'no',
      },
    });
  }

  /** The version of a page or event of this very process; null for any other. */
  function knownVersion(since: string): number | null {
    const [of, text] = since.split('.');
    const known = Number(text);
    return of === boot && Number.isSafeInteger(known) ? known : null;
  }

  /** Whole rows of what changed since the page was drawn, and of what has gone unseen. */
  function missed({ endpointIds, since, regions }: Client): Map<number, null> {
    const known = knownVersion(since);
    const changed = known === null ? endpointIds : board.changedSince(known, endpointIds);
    const rows = new Map(changed.map((id) => [id, null]));
    for (const id of endpointIds) {
      const endpoint = board.endpoint(id);
      const views = endpoint ? rowFor(board, endpoint, regions, fresh()).views : [];
      if (views.some(({ state, at }) => state === 'unknown' && at !== null)) rows.set(id, null);
    }
    return rows;
  }

  return {
    version: versionText,
    open,
    clients: () => clients.size,
    stop() {
      for (const client of clients) leave(client);
    },
  };
}
