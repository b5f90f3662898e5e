import type { Logger } from 'pino';
import type { Assignment } from '../../shared/assignment.ts';
import type { NetworkReport, NetworkState } from '../../shared/lease.ts';
import type { Result } from '../../shared/result.ts';
import { describeNetwork } from './describe-network.ts';
import {
  isMass,
  judgeNetwork,
  type NetworkLook,
  type NetworkView,
  type Suspicious,
  type TargetsSeen,
} from './judge-network.ts';
import type { LookAround } from './look-around.ts';
import { relabelled, suspiciousOf } from './relabel.ts';
import { ownNetworks, reachesAsFar, type Scope, scopes } from './scope.ts';
import { createStandings } from './standings.ts';

/** Stands between the checks and the spool: whose fault a failure is, the target's or this network's. */
export interface NetworkWatch {
  /** Passes the result on, at once nearly always; held for a look at the network where it is doubtful. */
  take(result: Result, urgent: boolean): void;
  /** Something else than a result speaks against the network: it is looked at, though not in a circle. */
  doubt(): void;
  report(): NetworkReport;
  /** Results that wait for a look. */
  held(): number;
  /** Passes on what is held, as the network was last seen. */
  stop(): void;
}

export interface NetworkWatchOptions {
  readonly lookAround: LookAround;
  readonly emit: (result: Result, urgent: boolean) => void;
  readonly assignment: (endpointId: number) => Assignment | undefined;
  /** Hub time, epoch microseconds. */
  readonly nowUs: () => number;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly networks?: () => readonly string[];
  /** Monotonic milliseconds; a seam for tests. */
  readonly steadyMs?: () => number;
  readonly timing?: Partial<NetworkTiming>;
}

export interface NetworkTiming {
  /** Between two looks while all is well. */
  readonly everyMs: number;
  /** The same while something is wrong, and once it has been so for a while. */
  readonly doubtMs: number;
  readonly longDoubtMs: number;
  /** At least, whoever asks. */
  readonly leastGapMs: number;
  /** A target that was up so short a while ago proves the network. */
  readonly freshMs: number;
  /** No result waits longer. */
  readonly mostHeldMs: number;
  readonly mostHeld: number;
}

const usual: NetworkTiming = {
  everyMs: 60_000,
  doubtMs: 1500,
  longDoubtMs: 10_000,
  leastGapMs: 250,
  freshMs: 1000,
  mostHeldMs: 4000,
  mostHeld: 5000,
};
const defaultIntervalUs = 60_000_000;
/** Trouble older than this is looked at less often: some networks are like that for ever. */
const longDoubtAfterUs = 60_000_000;
/** Names whose checks went well last: DNS should know them. */
const mostWitnesses = 2;

interface Held {
  readonly result: Result;
  readonly urgent: boolean;
  /** When the deciding attempt began: a look from before says nothing of it. */
  readonly beganMs: number;
  readonly heldMs: number;
}

const nothingSeen: NetworkLook = {
  anchors: [],
  resolver: 'unknown',
  resolverWhy: '',
  madeUp: [],
  portal: null,
};

export function createNetworkWatch(options: NetworkWatchOptions): NetworkWatch {
  const { lookAround, emit, assignment, nowUs, log } = options;
  const { networks = ownNetworks, steadyMs = () => performance.now() } = options;
  const timing = { ...usual, ...options.timing };
  const standings = createStandings();
  const goods = createLastTimes();
  /** Of peers that proved who they are: a captive portal answers for all others. */
  const provenGoods = createLastTimes();
  const falls = createLastTimes();
  let goodByNameMs = Number.NEGATIVE_INFINITY;
  let witnesses: readonly string[] = [];
  let held: Held[] = [];
  let last: NetworkLook = nothingSeen;
  /** When the way to each scope was last found gone: what was under way then had no chance. */
  const gone = createLastTimes();
  /** When the look began that there is now: what was up since then counts for more than what it found silent. */
  let lookFromMs = steadyMs();
  let view: NetworkView = judgeNetwork(nothingSeen, targets());
  let report: NetworkReport = { state: 'ok', since: nowUs(), why: '' };
  let own: { readonly atMs: number; readonly networks: readonly string[] } | null = null;
  let wake: () => void = () => undefined;
  let asked = false;
  let lookedMs = Number.NEGATIVE_INFINITY;
  let stopped = false;
  let dnsUsed = false;

  /** They change with the weather of a laptop; reading them takes 30 us. */
  function ownNow(): readonly string[] {
    if (!own || steadyMs() - own.atMs > 5000) own = { atMs: steadyMs(), networks: networks() };
    return own.networks;
  }

  function targets(): Record<Scope, TargetsSeen> {
    const now = steadyMs();
    const seen = (scope: Scope): TargetsSeen => ({
      ...standings.tally(scope, now * 1000),
      fresh: goods.reaching(scope) > lookFromMs,
      failing: falls.of(scope) > goods.reaching(scope),
    });
    return { local: seen('local'), private: seen('private'), public: seen('public') };
  }

  /** `fromMs`: when the look began that there is now; null where only the targets have news. */
  function judge(fromMs: number | null): void {
    const before = view;
    view = judgeNetwork(last, targets());
    for (const scope of scopes) {
      if (view.reach[scope] === 'gone') gone.set(scope, steadyMs());
      // When it came back between the two looks nobody knows.
      else if (fromMs !== null && before.reach[scope] === 'gone') gone.set(scope, fromMs);
    }
    tell();
  }

  /** Says once what changed, here and with the next lease. */
  function tell(): void {
    const used =
      standings.size > 0
        ? standings.inUse()
        : last.anchors.flatMap((one) => (one.kind === 'hub' ? [one.scope] : []));
    const { state, why } = describeNetwork(view, last, { scopes: used, dns: dnsUsed });
    if (state === report.state) {
      if (state !== 'ok') report = { ...report, why };
      return;
    }
    const since = nowUs();
    const tookS = Math.round((since - report.since) / 1_000_000);
    if (state === 'ok') {
      log.info(
        { was: report.state, seconds: tookS, why: report.why },
        'the network of this probe is well again',
      );
      report = { state, since, why: `${report.state} for ${tookS} s: ${report.why}`.slice(0, 300) };
      return;
    }
    log.warn({ state, why }, words[state]);
    report = { state, since, why };
  }

  function take(result: Result, urgent: boolean): void {
    const { endpointId, outcome } = result;
    if (outcome === 'skipped') {
      emit(result, urgent);
      return;
    }
    const now = steadyMs();
    const known = assignment(endpointId);
    const suspicious = suspiciousOf(result, known, ownNow());
    const { news, scope } = standings.note({
      endpointId,
      code: outcome === 'down' ? suspicious.code : null,
      scope: result.remoteIp === null && suspicious.named ? null : suspicious.scope,
      intervalUs: known ? known.intervalMs * 1000 : defaultIntervalUs,
      atUs: now * 1000,
    });
    dnsUsed ||= suspicious.named;
    if (outcome !== 'down') {
      takeGood(result, urgent, suspicious);
      return;
    }
    if (news) falls.set(scope, now);
    const mass = isMass(standings.tally(scope, now * 1000));
    if (mass && !view.mass[scope]) judge(null);
    const item: Held = { result, urgent, beganMs: now - result.timings.total / 1000, heldMs: now };
    const isKnown = isGoneNow(scope) || wasGone(item, scope);
    const isNoNews = !mass && !news && result.kind === 'slot';
    if (isKnown || isNoNews || (!mass && isProven(suspicious, scope, item))) release(item);
    else hold(item);
  }

  /** While looks are made one after the other the last is new enough, unless a target has answered since. */
  function isGoneNow(scope: Scope): boolean {
    return view.reach[scope] === 'gone' && goods.reaching(scope) < gone.of(scope);
  }

  /** It was under way while nothing could be reached: that all is well by now does not make it the target's fault. */
  function wasGone({ beganMs }: Held, scope: Scope): boolean {
    return beganMs <= gone.of(scope);
  }

  /** Another target was up since this check began, in a way that proves as much: nobody else has to be asked. */
  function isProven({ code, proven }: Suspicious, scope: Scope, { beganMs }: Held): boolean {
    const sinceMs = Math.max(beganMs, steadyMs() - timing.freshMs);
    const reached = (proven ? provenGoods : goods).reaching(scope) >= sinceMs;
    return reached && (!code?.startsWith('dns.') || goodByNameMs >= sinceMs);
  }

  function takeGood(result: Result, urgent: boolean, seen: Suspicious): void {
    const spoilt = view.madeUp.length > 0 || view.portal !== null;
    const shown = spoilt ? relabelled(result, seen, view) : result;
    if (shown === result) {
      goods.set(seen.scope, steadyMs());
      if (seen.proven) provenGoods.set(seen.scope, steadyMs());
      if (seen.named) {
        goodByNameMs = steadyMs();
        const { hostname } = new URL(assignment(result.endpointId)?.url ?? 'http://-');
        if (!witnesses.includes(hostname)) witnesses = [hostname, ...witnesses].slice(0, mostWitnesses);
      }
    }
    emit(shown, urgent && shown.outcome !== 'skipped');
  }

  function hold(item: Held): void {
    held.push(item);
    if (held.length > timing.mostHeld) for (const one of held.splice(0, 1)) release(one);
    asked = true;
    wake();
  }

  function release(item: Held): void {
    const { result, urgent } = item;
    const seen = suspiciousOf(result, assignment(result.endpointId), ownNow());
    const scope = standings.scopeOf(result.endpointId) ?? seen.scope;
    const reach = wasGone(item, scope) ? { ...view.reach, [scope]: 'gone' as const } : view.reach;
    const shown = relabelled(result, { ...seen, scope }, { ...view, reach });
    emit(shown, urgent && shown.outcome !== 'skipped');
  }

  /** Passes on what this look, begun then, can say something about, and what has waited long enough. */
  function releaseAll(lookedFromMs: number): void {
    const now = steadyMs();
    const ready = (one: Held) => one.beganMs <= lookedFromMs || now - one.heldMs >= timing.mostHeldMs;
    const going = held.filter(ready);
    held = held.filter((one) => !ready(one));
    for (const one of going) release(one);
  }

  async function run(): Promise<void> {
    while (!stopped) {
      asked = false;
      const fromMs = steadyMs();
      try {
        const look = await lookAround(witnesses);
        if (stopped) return;
        last = look;
        lookFromMs = fromMs;
        lookedMs = steadyMs();
        judge(fromMs);
      } catch (error) {
        log.error({ err: error }, 'the look at the network failed: this is a bug');
      }
      releaseAll(fromMs);
      await pause(timing.leastGapMs);
      if (!asked) await pause(nextLookMs() - timing.leastGapMs, true);
    }
  }

  function nextLookMs(): number {
    if (held.length > 0) return timing.leastGapMs;
    if (report.state === 'ok') return timing.everyMs;
    return nowUs() - report.since < longDoubtAfterUs ? timing.doubtMs : timing.longDoubtMs;
  }

  /** `early`: ends when a result is to be looked into. */
  function pause(ms: number, early = false): Promise<void> {
    return new Promise((done) => {
      const end = () => {
        clearTimeout(timer);
        done();
      };
      const timer = setTimeout(end, Math.max(0, ms));
      timer.unref();
      wake = () => {
        if (early || stopped) end();
      };
    });
  }

  void run();
  return {
    take,
    doubt() {
      if (steadyMs() - lookedMs >= timing.doubtMs) wake();
    },
    report: () => report,
    held: () => held.length,
    stop() {
      stopped = true;
      wake();
      releaseAll(Number.POSITIVE_INFINITY);
    },
  };
}

/** The last instant of something at each scope, monotonic milliseconds. */
function createLastTimes() {
  const times = new Map<Scope, number>();
  const of = (scope: Scope) => times.get(scope) ?? Number.NEGATIVE_INFINITY;
  return {
    set: (scope: Scope, atMs: number) => void times.set(scope, atMs),
    of,
    /** There or further out. */
    reaching: (scope: Scope) => Math.max(...scopes.filter((one) => reachesAsFar(one, scope)).map(of)),
  };
}

const words: Readonly<Record<Exclude<NetworkState, 'ok'>, string>> = {
  gone: 'the network of this probe is gone: what fails now is nobody else’s fault',
  doubtful: 'the network of this probe is doubtful: what it spoils is not told as a target’s failure',
};
