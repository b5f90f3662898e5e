import type { AssignmentOf } from '../../shared/assignment.ts';
import { httpExpectSchema, httpRequestSchema } from '../../shared/endpoint-http.ts';
import type { WsStep } from '../../shared/endpoint-ws.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';
import { type Attempt, attempted, type StopSignal } from './attempt.ts';
import type { TextTest } from './body-judge.ts';
import { judgeHead, judgeQuality } from './http-expect.ts';
import { compileHttpPlan, type HttpPlan, type PlanDeps } from './http-plan.ts';
import { type Findings, newFindings, observed } from './observed.ts';
import type { PatternLanes } from './pattern-lanes.ts';
import { ProbeValueError, resolveProbeValues } from './probe-values.ts';
import type { ReachDeps } from './reach.ts';
import { reachSecured } from './secure-reach.ts';
import { noteHead, noteRequest, traced } from './trace.ts';
import { type ConversationPlan, converse, type PlannedStep } from './ws-conversation.ts';
import { agreed, askUpgrade, type WsOffer } from './ws-handshake.ts';

export interface WsDeps extends ReachDeps {
  readonly patterns: PatternLanes;
  /** Epoch milliseconds: certificates end by the wall clock. */
  readonly now: () => number;
}

interface WsPlan {
  /** The handshake as the HTTP request that it is. */
  readonly http: HttpPlan;
  readonly offer: WsOffer;
  readonly subprotocol: string | null;
  readonly conversation: ConversationPlan;
}

export function prepareWs(assignment: AssignmentOf<'ws'>, deps: WsDeps & PlanDeps) {
  const plan = compileWsPlan(assignment, deps);
  return 'code' in plan ? plan : (stop: StopSignal) => checkWs(plan, assignment.timeoutMs, deps, stop);
}

function compileWsPlan(assignment: AssignmentOf<'ws'>, deps: PlanDeps): WsPlan | Failure {
  const { request, expect } = assignment;
  const { headers, basicAuth, bearer, ipFamily, resolveTo, serverName, tls } = request;
  const asked = { headers, basicAuth, bearer, ipFamily, resolveTo, serverName, tls };
  const { slowerThan, ...rest } = httpExpectSchema.parse({
    status: expect.status,
    headers: expect.headers,
    certDays: expect.certDays,
  });
  const http = compileHttpPlan(
    {
      ...assignment,
      url: assignment.url.replace(/^ws/i, 'http'),
      request: httpRequestSchema.parse({ ...asked, redirects: 0, compression: 'identity' }),
      expect: { ...rest, ...(expect.slowerThan === undefined ? {} : { slowerThan: expect.slowerThan }) },
    },
    deps,
  );
  if ('code' in http) return http;
  try {
    return {
      http,
      offer: { subprotocols: request.subprotocols, deflate: request.compression === 'deflate' },
      subprotocol: expect.subprotocol ?? null,
      conversation: {
        steps: request.steps.map((step) => plannedStep(step, deps)),
        closeWith: request.closeWith ?? null,
        closeCode: expect.closeCode ?? null,
        maxMessageBytes: expect.maxMessageBytes,
      },
    };
  } catch (error) {
    if (error instanceof ProbeValueError) return failure('probe.internal', error.message);
    throw error;
  }
}

function plannedStep(step: WsStep, { env }: PlanDeps): PlannedStep {
  const { send, sendHex, expect, expectHex } = step;
  return {
    send:
      send !== undefined
        ? { data: Buffer.from(resolveProbeValues(send, env)), binary: false }
        : sendHex !== undefined
          ? { data: Buffer.from(sendHex, 'hex'), binary: true }
          : null,
    wants: expect ? { pattern: expect } : expectHex ? { bytes: Buffer.from(expectHex, 'hex') } : null,
  };
}

/** Handshake, steps, close. What a target does wrong is in the observation, never thrown. */
function checkWs(plan: WsPlan, timeoutMs: number, deps: WsDeps, stop: StopSignal): Promise<Observation> {
  return attempted(timeoutMs, stop, async (attempt) => {
    const findings = newFindings();
    const { failure: ended, tests } = await talk(plan, findings, attempt, deps);
    // The clock stops with the last message: patterns of headers are the probe's own time.
    const totalMs = performance.now() - attempt.beganMs;
    const why = ended ?? (tests.length === 0 ? null : await deps.patterns.run({ tests, body: null }));
    const quality = why ? null : judgeQuality(plan.http.expect, findings.tls, totalMs, deps.now());
    return observed(findings, attempt, totalMs, why, quality);
  });
}

interface Talk {
  readonly failure: Failure | null;
  /** Header patterns that are left to test. */
  readonly tests: readonly TextTest[];
}

async function talk(plan: WsPlan, findings: Findings, attempt: Attempt, deps: WsDeps): Promise<Talk> {
  const failed = (why: Failure): Talk => ({ failure: why, tests: [] });
  const { http, offer } = plan;
  const { host, port, secure } = http.first;
  const { ipFamily, resolveTo, otherNames, context, verify, serverName } = http;
  const socket = await reachSecured(
    { host, port, ipFamily, resolveTo, otherNames },
    secure ? { context, verify, serverName, alpn: ['http/1.1'] } : null,
    attempt,
    findings,
    deps,
  );
  if ('code' in socket) return failed(socket);
  const sent = { ...http.first, headers: traced(http.first.headers, attempt.trace) };
  noteRequest(attempt.trace, sent);
  const answer = await askUpgrade(socket, sent, offer, attempt);
  if ('code' in answer) return failed(answer);
  noteHead(attempt.trace, answer);
  findings.status = answer.status;
  findings.httpVersion = answer.httpVersion;
  const head = judgeHead(http.expect, { ...answer, secure });
  if (!answer.socket || head.failure) {
    socket.destroy();
    return head;
  }
  const terms = agreed(answer, offer);
  if ('code' in terms) {
    socket.destroy();
    return failed(terms);
  }
  const { subprotocol, deflate } = terms;
  findings.facts = { subprotocol };
  if (plan.subprotocol !== null && subprotocol !== plan.subprotocol) {
    socket.destroy();
    return failed(
      failure('expect.header', `the subprotocol is ${subprotocol ?? 'none'}, expected ${plan.subprotocol}`),
    );
  }
  const said = await converse(answer.socket, plan.conversation, deflate, attempt, deps.patterns);
  const { messages, stepsMs, close } = said;
  findings.bytes = said.bytes;
  findings.facts = {
    subprotocol,
    ...(deflate ? { compression: 'deflate' } : {}),
    messages,
    stepsMs: [...stepsMs],
    ...(close ? { closeCode: close.code, closeReason: close.reason } : {}),
  };
  return { failure: said.failure, tests: head.tests };
}
