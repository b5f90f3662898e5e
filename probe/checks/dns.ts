import type { AssignmentOf } from '../../shared/assignment.ts';
import type { Facts } from '../../shared/facts.ts';
import { failure } from '../../shared/failure.ts';
import type { Observation, TlsFacts } from '../../shared/result.ts';
import { type Attempt, attempted, type StopSignal } from './attempt.ts';
import { destinationOf } from './dial.ts';
import { type Asked, ask, type Manner } from './dns-ask.ts';
import { judgeAnswer, ofType } from './dns-expect.ts';
import { dnsFlagNames } from './dns-message.ts';
import { compileDnsPlan, type DnsPlan } from './dns-plan.ts';
import { findServers, type ServerDeps, type Servers } from './dns-servers.ts';
import { checkZone, type DnsOutcome } from './dns-zone.ts';
import { type Findings, newFindings, observed, type Quality } from './observed.ts';
import type { PatternLanes } from './pattern-lanes.ts';
import type { Environment } from './probe-values.ts';
import type { TlsContexts } from './tls-contexts.ts';

export interface DnsDeps extends ServerDeps {
  readonly env: Environment;
  readonly contexts: TlsContexts;
  readonly patterns: PatternLanes;
  /** Epoch milliseconds: certificates end by the wall clock. */
  readonly now: () => number;
}

export function prepareDns(assignment: AssignmentOf<'dns'>, deps: DnsDeps) {
  const plan = compileDnsPlan(assignment, deps);
  return 'code' in plan ? plan : (stop: StopSignal) => checkDns(plan, assignment.timeoutMs, deps, stop);
}

function checkDns(plan: DnsPlan, timeoutMs: number, deps: DnsDeps, stop: StopSignal): Promise<Observation> {
  return attempted(timeoutMs, stop, async (attempt) => {
    const findings = newFindings();
    const servers = await findServers(plan, attempt, deps);
    const ended = () => performance.now() - attempt.beganMs;
    if ('code' in servers) return observed(findings, attempt, ended(), servers, null);
    const run = plan.request.nameservers === 'each' ? checkZone : checkServer;
    const { totalMs, failure: why } = await run(plan, servers, findings, attempt, deps);
    return observed(
      findings,
      attempt,
      totalMs,
      why,
      why ? null : qualityOf(plan, findings.tls, totalMs, deps.now()),
    );
  });
}

async function checkServer(
  plan: DnsPlan,
  servers: Servers,
  findings: Findings,
  attempt: Attempt,
  { patterns }: DnsDeps,
): Promise<DnsOutcome> {
  const asked = await ask(plan.asked, servers.places, mannerOf(plan), attempt, servers.deps);
  // The clock stops with the answer: what is done to it is the probe's own time.
  const totalMs = performance.now() - attempt.beganMs;
  const { answer } = asked;
  findings.tls = asked.tls;
  findings.facts = factsOf(plan, asked);
  if ('code' in answer) return { totalMs, failure: answer };
  findings.remoteIp = answer.server.address;
  findings.bytes = answer.bytes;
  const verdict = judgeAnswer(plan.expect, plan.asked, answer.message);
  if (verdict.failure || verdict.tests.length === 0) return { totalMs, failure: verdict.failure };
  return { totalMs, failure: await patterns.run({ tests: verdict.tests, body: null }) };
}

function mannerOf({ request, tls }: DnsPlan): Manner {
  const { transport, recursion, dnssec } = request;
  return { transport, recursion, dnssec, tls, verify: request.tls.verify };
}

const shownMost = 20;

function factsOf({ asked: question }: DnsPlan, { answer, transport, truncated }: Asked): Facts | null {
  if ('code' in answer) return truncated ? { transport, truncated } : null;
  const { message, server, tries } = answer;
  const { answers, authority } = message;
  const serial = [...answers, ...authority].find((record) => record.serial !== null)?.serial ?? null;
  return {
    server: destinationOf(server.address, server.port),
    transport,
    rcode: message.rcode,
    flags: dnsFlagNames.filter((name) => message.flags[name]),
    ...(message.extendedError === null ? {} : { extendedError: message.extendedError }),
    ...(truncated ? { truncated } : {}),
    ...(tries > 1 ? { tries } : {}),
    ttlSeconds: answers.length > 0 ? Math.min(...answers.map(({ ttlSeconds }) => ttlSeconds)) : null,
    ...(serial === null ? {} : { serial }),
    answerCount: ofType(question, answers).length,
    answers: answers.slice(0, shownMost).map(({ type, data }) => `${type} ${data}`),
  };
}

/** Why an answer that is good otherwise is degraded. */
function qualityOf(
  { expect }: DnsPlan,
  tls: TlsFacts | null,
  totalMs: number,
  nowMs: number,
): Quality | null {
  if (tls && expect.certDays > 0) {
    const days = Math.floor((tls.notAfter * 1000 - nowMs) / 86_400_000);
    if (days < expect.certDays)
      return {
        failure: failure('expect.cert', `the certificate ends in ${days} days, warned at ${expect.certDays}`),
      };
  }
  return expect.slowerThan !== undefined && totalMs > expect.slowerThan ? { failure: null } : null;
}
