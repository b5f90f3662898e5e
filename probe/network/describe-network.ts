import type { NetworkReport } from '../../shared/lease.ts';
import type { NetworkLook, NetworkView } from './judge-network.ts';
import type { Scope } from './scope.ts';

/** What this probe's targets need of the network. */
export interface NetworkUse {
  readonly scopes: readonly Scope[];
  /** Some are named. */
  readonly dns: boolean;
}

/** The whole in one state and a line for a person. */
export function describeNetwork(
  view: NetworkView,
  look: NetworkLook,
  { scopes: used, dns }: NetworkUse,
): Pick<NetworkReport, 'state' | 'why'> {
  const gone = used.filter((scope) => view.reach[scope] === 'gone');
  if (gone.length > 0) return { state: 'gone', why: clip(silence(look, gone)) };
  const doubts = [
    view.portal,
    view.madeUp.length > 0 ? `DNS here has addresses for names that do not exist (${view.madeUp[0]})` : null,
    dns && view.resolver === 'silent' ? `DNS here answers for no name (${look.resolverWhy})` : null,
    used.some((scope) => view.mass[scope])
      ? 'more than half of the targets that were up failed at once'
      : null,
  ].filter((why) => why !== null);
  return { state: doubts.length > 0 ? 'doubtful' : 'ok', why: clip(doubts.join('; ')) };
}

function silence({ anchors, resolver }: NetworkLook, gone: readonly Scope[]): string {
  const names = (reached: boolean) =>
    anchors.filter((anchor) => (anchor.reached !== 'silent') === reached).map(({ what }) => what);
  const [silent, there] = [names(false), names(true)];
  const none =
    silent.length > 1 ? `none of ${silent.join(', ')} can be reached` : `${silent[0]} cannot be reached`;
  const still = there.length > 0 ? `, ${there.join(', ')} can` : '';
  const dns = resolver === 'silent' ? '; DNS does not answer' : '';
  return `${none}${still}${dns} (targets: ${gone.join(', ')})`;
}

const clip = (text: string) => text.slice(0, 300);
