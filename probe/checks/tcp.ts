import type { Socket } from 'node:net';
import type { AssignmentOf } from '../../shared/assignment.ts';
import type { TcpStep } from '../../shared/endpoint-tcp.ts';
import type { Facts } from '../../shared/facts.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';
import { sendParts } from '../../shared/send-template.ts';
import { socketPlaceOf } from '../../shared/socket-url.ts';
import { type Attempt, attempted, type StopSignal } from './attempt.ts';
import { handshake } from './handshake.ts';
import { judgeQuality } from './http-expect.ts';
import { type Findings, newFindings, observed } from './observed.ts';
import type { PatternLanes } from './pattern-lanes.ts';
import { planFailure } from './plan-failure.ts';
import { type Environment, resolveProbeValues } from './probe-values.ts';
import { type Place, type ReachDeps, reach } from './reach.ts';
import { shownText } from './shown-text.ts';
import { askForTls, refuseUnread } from './starttls.ts';
import { converse, type PlannedPart, type PlannedStep } from './tcp-conversation.ts';
import { createLineFinder, type FindLine } from './tcp-match.ts';
import { cutOff, openWire, type Wire } from './tcp-wire.ts';
import type { TlsContexts } from './tls-contexts.ts';
import { placeOf, type TlsTerms, tlsTermsOf } from './tls-terms.ts';

export interface TcpDeps extends ReachDeps {
  readonly env: Environment;
  readonly contexts: TlsContexts;
  readonly patterns: PatternLanes;
  /** Epoch milliseconds: certificates end by the wall clock. */
  readonly now: () => number;
}

interface TcpPlan {
  readonly place: Place;
  readonly tls: TlsTerms;
  readonly request: AssignmentOf<'tcp'>['request'];
  readonly expect: AssignmentOf<'tcp'>['expect'];
  readonly steps: readonly PlannedStep[];
}

export function prepareTcp(assignment: AssignmentOf<'tcp'>, deps: TcpDeps) {
  try {
    const plan = planOf(assignment, deps);
    if ('code' in plan) return plan;
    return (stop: StopSignal) => checkTcp(plan, assignment.timeoutMs, deps, stop);
  } catch (error) {
    return planFailure(error);
  }
}

function planOf({ url, request, expect }: AssignmentOf<'tcp'>, deps: TcpDeps): TcpPlan | Failure {
  const named = socketPlaceOf(new URL(url), null);
  if ('problem' in named) return failure('probe.internal', named.problem);
  return {
    place: placeOf(named.host, named.port, request),
    tls: tlsTermsOf(named.host, request, deps),
    request,
    expect,
    steps: request.steps.map((step) => plannedStep(step, deps.env)),
  };
}

function plannedStep({ send, sendHex, expect, expectHex, starttls }: TcpStep, env: Environment): PlannedStep {
  return {
    send: sendHex !== undefined ? [Buffer.from(sendHex, 'hex')] : plannedParts(send ?? '', env),
    wants: expect ? { pattern: expect } : expectHex ? { bytes: Buffer.from(expectHex, 'hex') } : null,
    starttls,
  };
}

/** Read before the probe's values are put in: a password may hold a backslash or a `${1}`. */
function plannedParts(text: string, env: Environment): PlannedPart[] {
  const parts = sendParts(text);
  if ('problem' in parts) throw new Error(parts.problem);
  return parts.map((part) =>
    'text' in part
      ? Buffer.from(resolveProbeValues(part.text, env))
      : 'byte' in part
        ? Buffer.from([part.byte])
        : part,
  );
}

/** Connection, TLS, steps. What a target does wrong is in the observation, never thrown. */
function checkTcp(plan: TcpPlan, timeoutMs: number, deps: TcpDeps, stop: StopSignal): Promise<Observation> {
  return attempted(timeoutMs, stop, async (attempt) => {
    const findings = newFindings();
    const why = (await talk(plan, findings, attempt, deps)) ?? judgeTls(plan, findings);
    const totalMs = performance.now() - attempt.beganMs;
    const { certDays, slowerThan = null } = plan.expect;
    const quality = why
      ? null
      : judgeQuality({ certDays, slowerThanMs: slowerThan }, findings.tls, totalMs, deps.now());
    return observed(findings, attempt, totalMs, why, quality);
  });
}

function judgeTls({ expect }: TcpPlan, { tls }: Findings): Failure | null {
  if (expect.tls === 'required' && !tls) return failure('expect.tls', 'the connection is without TLS');
  if (expect.tls === 'forbidden' && tls) return failure('expect.tls', 'the connection is over TLS');
  return null;
}

async function talk(
  { place, tls, request, expect, steps }: TcpPlan,
  findings: Findings,
  attempt: Attempt,
  deps: TcpDeps,
): Promise<Failure | null> {
  const socket = await reach(place, attempt, deps);
  if ('code' in socket) return socket;
  findings.remoteIp = socket.remoteAddress ?? null;
  const secure = async (plain: Socket): Promise<Socket | Failure> => {
    const secured = await handshake(plain, { ...tls, alpn: [] }, attempt);
    findings.tls = secured.facts;
    return 'failure' in secured ? secured.failure : secured.socket;
  };
  const base = request.secure ? await secure(socket) : socket;
  if ('code' in base) return base;
  const { matches, notMatches } = expect.banner;
  const wantsBanner = matches.length + notMatches.length > 0;
  if (!request.starttls && !wantsBanner && steps.length === 0) {
    base.destroy();
    return null;
  }
  const find = createLineFinder(deps.patterns, attempt);
  const first = openWire(base, attempt);
  const wires = [first];
  const upgrade = async (from: Wire): Promise<Wire | Failure> => {
    const injected = refuseUnread(from);
    if (injected) return injected;
    from.detach();
    const over = await secure(from.socket);
    if ('code' in over) return over;
    const wire = openWire(over, attempt);
    wires.push(wire);
    return wire;
  };
  const run = async (): Promise<{ readonly failure: Failure | null; readonly facts: Facts }> => {
    let wire = first;
    if (request.starttls) {
      const refused = await askForTls(request.starttls, first, { ...place, name: tls.name }, attempt);
      const over = refused ?? (await upgrade(first));
      if ('code' in over) return { failure: over, facts: {} };
      wire = over;
    }
    const unlike = wantsBanner ? await judgeBanner(expect.banner, first, attempt, find) : null;
    if (unlike) return { failure: unlike, facts: {} };
    const {
      failure: ended,
      stepsMs,
      captures,
      lastLine,
    } = await converse(wire, steps, upgrade, attempt, find);
    return {
      failure: ended,
      facts: {
        ...(steps.length > 0 ? { stepsMs: [...stepsMs] } : {}),
        ...(request.recordText && Object.keys(captures).length > 0 ? { captures: { ...captures } } : {}),
        ...(request.recordText && lastLine !== null ? { lastLine } : {}),
      },
    };
  };
  const { failure: why, facts } = await run();
  wires.at(-1)?.leave();
  findings.bytes = wires.reduce((sum, wire) => sum + wire.received(), 0);
  const banner = firstLine(first.greeting());
  findings.facts = {
    ...(request.starttls ? { starttls: request.starttls } : {}),
    ...(request.recordText && banner !== '' ? { banner: shownText(banner) } : {}),
    ...facts,
  };
  if (Object.keys(findings.facts).length === 0) findings.facts = null;
  return why;
}

const firstLine = (bytes: Buffer) => bytes.toString('utf8').split(/\r?\n/, 1)[0] ?? '';

/** The first line is looked at and stays where it is, for the steps. */
async function judgeBanner(
  { matches, notMatches }: TcpPlan['expect']['banner'],
  wire: Wire,
  attempt: Attempt,
  find: FindLine,
): Promise<Failure | null> {
  while (!/\n/.test(wire.greeting().toString('latin1')) && wire.greeting().length < 512) {
    const heard = await wire.more(wire.greeting().length > 0 ? 50 : undefined);
    if (heard.kind === 'bytes') continue;
    if (wire.greeting().length > 0) break;
    if (heard.kind !== 'quiet') return cutOff(heard, wire, attempt, 'the banner');
  }
  const line = firstLine(wire.greeting());
  for (const wanted of [true, false]) {
    for (const pattern of wanted ? matches : notMatches) {
      const found = await find(pattern, [line], wire);
      if (found && 'code' in found) return found;
      if ((found !== null) === wanted) continue;
      const how = wanted ? 'does not match' : 'matches';
      return failure('expect.response', `the banner ${how} ${shownText(pattern.pattern, 80)}`);
    }
  }
  return null;
}
