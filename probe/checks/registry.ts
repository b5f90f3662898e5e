import type { Assignment } from '../../shared/assignment.ts';
import { protocolOfUrl } from '../../shared/endpoint.ts';
import { type Failure, failure, outcomeOf } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';
import type { TargetPolicy } from '../policy/target-policy.ts';
import { type StopSignal, stopSignal } from './attempt.ts';
import { createBodyRoom } from './body-room.ts';
import type { Checker } from './check.ts';
import { createDestinationGate, type DestinationLimits, destinationLimits } from './destination-gate.ts';
import { type OpenSocket, openSocket } from './dial.ts';
import { checkHttp, type HttpDeps } from './http.ts';
import { compileHttpPlan, type PlanDeps } from './http-plan.ts';
import { createPatternLanes, type PatternLimits, patternLimits } from './pattern-lanes.ts';
import type { Environment } from './probe-values.ts';
import { createNameResolver } from './resolve.ts';
import { createRobotsGate } from './robots.ts';
import { createTlsContexts } from './tls-contexts.ts';

export interface CheckerOptions {
  readonly policy: TargetPolicy;
  /** Where `${probe:NAME}` is looked up. */
  readonly env: Environment;
  /** Parallax's version, for the User-Agent. */
  readonly version: string;
  /** `IP` or `IP:port` of a DNS server in place of the machine's. */
  readonly dnsServer?: string | undefined;
  readonly limits?: DestinationLimits;
  readonly patterns?: PatternLimits;
  /** Memory for all bodies together. */
  readonly bodyRoomBytes?: number;
  readonly openSocket?: OpenSocket;
  readonly now?: () => number;
}

interface Deps extends HttpDeps, PlanDeps {}

/** An assignment made ready to run; a failure where this probe cannot run it. */
type Prepare = (assignment: Assignment, deps: Deps) => Prepared | Failure;
type Prepared = (stop: StopSignal) => Promise<Observation>;

/** A protocol is a file, adding one is one line here. */
const protocols: Readonly<Record<string, Prepare>> = {
  http(assignment, deps) {
    const plan = compileHttpPlan(assignment, deps);
    return 'code' in plan ? plan : (stop) => checkHttp(plan, assignment.timeoutMs, deps, stop);
  },
};

/** Everything that checks share: contexts, resolver, gates and the pattern threads. `close` ends them. */
export async function createChecker(options: CheckerOptions): Promise<Checker> {
  const now = options.now ?? Date.now;
  const patterns = createPatternLanes(options.patterns ?? patternLimits);
  const resolver = await createNameResolver({ server: options.dnsServer });
  const deps: Deps = {
    policy: options.policy,
    env: options.env,
    userAgent: `Parallax/${options.version}`,
    contexts: createTlsContexts(),
    open: options.openSocket ?? openSocket,
    gate: createDestinationGate(options.limits ?? destinationLimits),
    robots: createRobotsGate(now),
    bodies: createBodyRoom(options.bodyRoomBytes),
    resolver,
    patterns,
    now,
  };
  // By the assignment itself: a changed one is another object, and one that is forgotten takes its plan along.
  const prepared = new WeakMap<Assignment, Prepared | Failure>();
  const prepare = (assignment: Assignment): Prepared | Failure => {
    const protocol = protocols[protocolOfUrl(assignment.url) ?? ''];
    if (!protocol)
      return failure('probe.internal', 'this probe does not know the protocol: it may be too old');
    return protocol(assignment, deps);
  };
  return {
    async check(assignment, signal) {
      let ready = prepared.get(assignment);
      if (!ready) {
        ready = prepare(assignment);
        prepared.set(assignment, ready);
      }
      return typeof ready === 'function' ? ready(stopSignal(signal)) : notRun(ready);
    },
    async close() {
      resolver.close();
      await patterns.close();
    },
  };
}

function notRun(why: Failure): Observation {
  return {
    outcome: outcomeOf(why.code),
    failure: why,
    status: null,
    httpVersion: null,
    remoteIp: null,
    redirects: 0,
    timings: { dns: null, connect: null, tls: null, wait: null, transfer: null, total: 0 },
    bytes: 0,
    truncated: false,
    tls: null,
  };
}
