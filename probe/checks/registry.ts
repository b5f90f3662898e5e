import type { Assignment, AssignmentOf } from '../../shared/assignment.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import { type ProtocolName, protocolOfUrl } from '../../shared/protocols.ts';
import type { Observation } from '../../shared/result.ts';
import type { TargetPolicy } from '../policy/target-policy.ts';
import { type StopSignal, stopSignal, withTrace } from './attempt.ts';
import { createBodyRoom } from './body-room.ts';
import type { Checker } from './check.ts';
import { createDestinationGate, type DestinationLimits, destinationLimits } from './destination-gate.ts';
import { type OpenSocket, openSocket } from './dial.ts';
import { type DnsDeps, prepareDns } from './dns.ts';
import { type OpenDatagram, openDatagram } from './dns-datagram.ts';
import { machineServers } from './dns-plan.ts';
import { type GrpcDeps, prepareGrpc } from './grpc.ts';
import { type HttpDeps, prepareHttp } from './http.ts';
import type { PlanDeps } from './http-plan.ts';
import { notRun } from './observed.ts';
import { createPatternLanes, type PatternLimits, patternLimits } from './pattern-lanes.ts';
import { type PingDeps, preparePing } from './ping.ts';
import { type RunPing, runPing } from './ping-command.ts';
import { createPingTurns } from './ping-turns.ts';
import type { Environment } from './probe-values.ts';
import { renderEvidence } from './render-evidence.ts';
import { createNameResolver } from './resolve.ts';
import { createRobotsGate } from './robots.ts';
import { prepareTcp, type TcpDeps } from './tcp.ts';
import { prepareTls } from './tls.ts';
import { createTlsContexts } from './tls-contexts.ts';
import { newTrace, type Trace, traceIdOf } from './trace.ts';
import { prepareWs, type WsDeps } from './ws.ts';

export interface CheckerOptions {
  readonly policy: TargetPolicy;
  /** Where `${probe:NAME}` is looked up. */
  readonly env: Environment;
  /** Parallax's version, for the User-Agent. */
  readonly version: string;
  /** Whom the owners of targets may ask: a URL, for the User-Agent. */
  readonly contact?: string | null | undefined;
  /** `IP` or `IP:port` of a DNS server in place of the machine's. */
  readonly dnsServer?: string | undefined;
  readonly limits?: DestinationLimits;
  readonly patterns?: PatternLimits;
  /** Memory for all bodies together. */
  readonly bodyRoomBytes?: number;
  readonly openSocket?: OpenSocket;
  readonly openDatagram?: OpenDatagram;
  readonly runPing?: RunPing;
  readonly now?: () => number;
}

/** What all checks share: a protocol's file names the part that it needs. */
export interface Deps extends HttpDeps, WsDeps, GrpcDeps, DnsDeps, PingDeps, TcpDeps, PlanDeps {}

/** A protocol is a file, adding one is one line here. A failure where this probe cannot run the assignment. */
const protocols: { readonly [P in ProtocolName]: Prepare<P> } = {
  http: prepareHttp,
  ws: prepareWs,
  grpc: prepareGrpc,
  dns: prepareDns,
  ping: preparePing,
  tcp: prepareTcp,
  tls: prepareTls,
};

type Prepare<P extends ProtocolName> = (assignment: AssignmentOf<P>, deps: Deps) => Prepared | Failure;
/** An assignment made ready to run. */
type Prepared = (stop: StopSignal) => Promise<Observation>;

/** Everything that checks share: contexts, resolver, gates and the pattern threads. `close` ends them. */
export async function createChecker(options: CheckerOptions): Promise<Checker> {
  const now = options.now ?? Date.now;
  const patterns = createPatternLanes(options.patterns ?? patternLimits);
  const resolver = await createNameResolver({ server: options.dnsServer });
  const deps: Deps = {
    policy: options.policy,
    env: options.env,
    userAgent: `Parallax/${options.version}${options.contact ? ` (+${options.contact})` : ''}`,
    contexts: createTlsContexts(),
    open: options.openSocket ?? openSocket,
    openDatagram: options.openDatagram ?? openDatagram,
    machineServers: () => machineServers(options.dnsServer),
    runPing: options.runPing ?? runPing,
    pingTurns: createPingTurns(),
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
    const protocol = protocolOfUrl(assignment.url);
    if (protocol === null)
      return failure('probe.unable', 'this probe is too old for the endpoint: it has to be updated');
    return (protocols[protocol] as Prepare<ProtocolName>)(assignment, deps);
  };
  /** What goes wrong here must not hide that a target is down. */
  const evidenceOf = (trace: Trace, assignment: Assignment): string | null => {
    try {
      return renderEvidence(trace, assignment, options.env);
    } catch {
      return null;
    }
  };
  return {
    async check(assignment, signal, wish = null) {
      let ready = prepared.get(assignment);
      if (!ready) {
        ready = prepare(assignment);
        prepared.set(assignment, ready);
      }
      if (typeof ready !== 'function') return notRun(ready);
      const stop = stopSignal(signal);
      if (!wish && !assignment.evidence?.trace) return ready(stop);
      const trace = newTrace(assignment.evidence);
      const seen = await ready(withTrace(stop, trace));
      const traceId = trace.request && traceIdOf(trace);
      const evidence =
        wish && seen.outcome === 'down' && seen.failure?.code !== wish.unless
          ? evidenceOf(trace, assignment)
          : null;
      if (traceId === null && evidence === null) return seen;
      return { ...seen, facts: traceId === null ? seen.facts : { ...seen.facts, traceId }, evidence };
    },
    async close() {
      resolver.close();
      await patterns.close();
    },
  };
}
