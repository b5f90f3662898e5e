import type { FactValue } from '../../shared/facts.ts';
import type { Failure } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';
import { type Attempt, attempted, type StopSignal, withTrace } from './attempt.ts';
import { newFindings, observed } from './observed.ts';
import { inTurns } from './race.ts';
import { type Place, type ReachDeps, refusedName } from './reach.ts';
import { newTrace } from './trace.ts';

/** More than anybody's name has for a good reason; each is a connection of its own. */
const mostAddresses = 8;

/**
 * A check of every address of a name, all at once and within one deadline, so that a silent one takes no time from the
 * others. `checkOne` runs for each, and must connect to that address alone, through the policy like any other. The
 * worst outcome counts, the slowest of equals, and the facts tell of all.
 */
export function checkEachAddress(
  place: Omit<Place, 'resolveTo'>,
  timeoutMs: number,
  deps: ReachDeps,
  stop: StopSignal,
  checkOne: (address: string, attempt: Attempt) => Promise<Observation>,
): Promise<Observation> {
  return attempted(timeoutMs, stop, async (whole) => {
    const addresses = await addressesOf(place, whole, deps);
    if ('code' in addresses)
      return observed(newFindings(), whole, performance.now() - whole.beganMs, addresses, null);
    const checks = addresses.map(async (address) => {
      const trace = {
        ...whole.trace,
        body: newTrace({ body: whole.trace.body !== null, trace: false }).body,
      };
      const run = (attempt: Attempt) => checkOne(address, attempt);
      return { address, trace, seen: await attempted(timeoutMs, withTrace(stop, trace), run, whole) };
    });
    const all = await Promise.all(checks);
    const worst = all.reduce((one, other) => (isWorse(other.seen, one.seen) ? other : one));
    Object.assign(whole.trace, worst.trace);
    const facts = { addresses: all.map(({ address, seen }) => factOf(address, seen)) };
    return { ...worst.seen, facts };
  });
}

async function addressesOf(
  place: Omit<Place, 'resolveTo'>,
  attempt: Attempt,
  deps: ReachDeps,
): Promise<readonly string[] | Failure> {
  const refused = refusedName(place, deps);
  if (refused) return refused;
  const found = await deps.resolver.resolve(place.host, place.ipFamily, attempt, { whole: true });
  return 'code' in found ? found : inTurns(found).slice(0, mostAddresses);
}

function factOf(address: string, { outcome, failure: why, timings }: Observation): FactValue {
  return { address, outcome, code: why?.code ?? null, totalUs: timings.total };
}

/** An address that the policy refuses is none of the target's that this probe can speak of: it counts where all are. */
function weightOf({ outcome, failure: why }: Observation): number {
  if (outcome === 'down') return 4;
  if (outcome === 'skipped') return why?.code === 'policy.blocked' ? 0 : 3;
  return outcome === 'degraded' ? 2 : 1;
}

function isWorse(one: Observation, other: Observation): boolean {
  return (weightOf(one) - weightOf(other) || one.timings.total - other.timings.total) > 0;
}
