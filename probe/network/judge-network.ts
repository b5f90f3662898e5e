import type { FailureCode } from '../../shared/failure.ts';
import { reachesAsFar, type Scope, scopes } from './scope.ts';

/** What came of asking one anchor. `refused`: its host said no, so the way there and back is whole. */
export type Reached = 'answered' | 'refused' | 'silent';

export interface AnchorSeen {
  /** For a person: `the hub`, `the gateway 10.0.0.1`, `ns.example:443`. */
  readonly what: string;
  readonly kind: 'hub' | 'gateway' | 'named';
  readonly scope: Scope;
  readonly reached: Reached;
}

/** What DNS did here: `silent` where it answered for no name that it should know. */
export type ResolverSeen = 'answers' | 'silent' | 'unknown';

/** One look at the network from here. */
export interface NetworkLook {
  readonly anchors: readonly AnchorSeen[];
  readonly resolver: ResolverSeen;
  /** Addresses that DNS here has for names that do not exist. */
  readonly madeUp: readonly string[];
  /** Who answers in the place of others, for a person: a captive portal, a proxy that rewrites. */
  readonly portal: string | null;
  /** The resolver, for a person. */
  readonly resolverWhy: string;
}

/** What the probe's own targets say, a scope. */
export interface TargetsSeen {
  readonly up: number;
  readonly fallen: number;
  /** One that lies as far was up since the look began. */
  readonly fresh: boolean;
  /** One that was up, or new, fell since the last was found up. */
  readonly failing: boolean;
}

export type Reach = 'ok' | 'gone' | 'unclear';

export interface NetworkView {
  readonly reach: Readonly<Record<Scope, Reach>>;
  /** More than half of those that were up fell within one interval. */
  readonly mass: Readonly<Record<Scope, boolean>>;
  readonly resolver: ResolverSeen;
  readonly madeUp: readonly string[];
  readonly portal: string | null;
}

/** Fewer than this that were up say nothing together: then the anchors decide alone. */
export const leastForMass = 4;

export function isMass({ up, fallen }: Pick<TargetsSeen, 'up' | 'fallen'>): boolean {
  return up + fallen >= leastForMass && fallen > (up + fallen) / 2;
}

/**
 * Whether the way to what lies this far out is whole. Whoever answers from there or beyond proves it. Without one it is
 * gone where targets fall and an anchor that lies as far is silent, or the gateway, which is on the way to all; one
 * further out says nothing of what is nearer, and a silent hub alone is a hub that is away.
 */
export function judgeReach(
  scope: Scope,
  anchors: readonly AnchorSeen[],
  { fresh, failing }: Pick<TargetsSeen, 'fresh' | 'failing'>,
): Reach {
  const proven = anchors.some((one) => one.reached !== 'silent' && reachesAsFar(one.scope, scope));
  if (fresh || proven) return 'ok';
  if (!failing) return 'unclear';
  const silent = anchors.filter(({ reached }) => reached === 'silent');
  return silent.some((one) => one.kind === 'gateway' || one.scope === scope) ? 'gone' : 'unclear';
}

export function judgeNetwork(look: NetworkLook, targets: Readonly<Record<Scope, TargetsSeen>>): NetworkView {
  const each = <T>(of: (scope: Scope) => T) =>
    Object.fromEntries(scopes.map((scope) => [scope, of(scope)])) as Record<Scope, T>;
  return {
    reach: each((scope) => judgeReach(scope, look.anchors, targets[scope])),
    mass: each((scope) => isMass(targets[scope])),
    resolver: look.resolver,
    madeUp: look.madeUp,
    portal: look.portal,
  };
}

/** A result as far as the network has to do with it. */
export interface Suspicious {
  readonly outcome: 'up' | 'degraded' | 'down';
  readonly code: FailureCode | null;
  readonly remoteIp: string | null;
  readonly scope: Scope;
  /** Its host is a name that DNS was asked for. */
  readonly named: boolean;
  /** The peer proved who it is by a certificate. */
  readonly proven: boolean;
}

export type Label =
  | { readonly kind: 'keep' }
  | { readonly kind: 'suspect' }
  /** `probe.network`, with what was seen. */
  | { readonly kind: 'network'; readonly why: string };

const keep: Label = { kind: 'keep' };
const suspect: Label = { kind: 'suspect' };
const network = (why: string): Label => ({ kind: 'network', why });

/** What a result is worth, taken through such a network. Pure; every combination is under test. */
export function labelOf(result: Suspicious, view: NetworkView): Label {
  const { code, remoteIp, scope, named, proven } = result;
  const fails = result.outcome === 'down';
  if (named && view.madeUp.length > 0) {
    const where = `DNS here has addresses for names that do not exist (${view.madeUp[0]})`;
    // A proven peer is who it should be, wherever it was found.
    if (remoteIp !== null && view.madeUp.includes(remoteIp) && !(proven && !fails)) return network(where);
    if (fails && remoteIp === null) return network(where);
  }
  if (view.portal !== null && scope !== 'local' && (fails || !proven)) return network(view.portal);
  if (!fails) return keep;
  if (named && view.resolver === 'silent' && code?.startsWith('dns.')) {
    return network('DNS here answers for no name, also not for one that was known a moment ago');
  }
  if (view.reach[scope] === 'gone') {
    return isAnswer(code) ? suspect : network('neither the hub nor another anchor can be reached from here');
  }
  return view.mass[scope] ? suspect : keep;
}

/** Somebody at the other end said something: the way there was whole at that moment. */
function isAnswer(code: FailureCode | null): boolean {
  return (
    code === null ||
    /^(expect|http|protocol)\.|^tls\.(expired|hostname|untrusted|version)$|^body\.(encoding|too_large)$/.test(
      code,
    )
  );
}
