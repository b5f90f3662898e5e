import type { Socket } from 'node:net';
import type { AssignmentOf } from '../../shared/assignment.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';
import { type Attempt, aside, attempted, type StopSignal } from './attempt.ts';
import { bodyText, decodeBody } from './body-decode.ts';
import { judgeBody } from './body-judge.ts';
import type { BodyRoom, BodyShare } from './body-room.ts';
import { checkEachAddress } from './each-address.ts';
import { handshake } from './handshake.ts';
import { exchange, type HttpAnswer } from './http-exchange.ts';
import { headerValues, judgeHead, judgeQuality } from './http-expect.ts';
import {
  compileHttpPlan,
  type Hop,
  type HttpPlan,
  makeHop,
  type PlanDeps,
  shownUrl,
  sniOf,
} from './http-plan.ts';
import { askedOfProxy, connectByProxy, tunnels } from './http-proxy.ts';
import { harmlessFields, isRedirect, nextHop } from './http-redirect.ts';
import { exchangeHttp2 } from './http2-exchange.ts';
import { type Findings, newFindings, notRun, observed } from './observed.ts';
import type { PatternLanes } from './pattern-lanes.ts';
import { raceFacts, type Tried } from './race.ts';
import { type Place, type ReachDeps, reach, refusedName } from './reach.ts';
import type { RetryAfter } from './retry-after.ts';
import type { RobotsGate } from './robots.ts';
import { noteHead, noteRequest, traced } from './trace.ts';

export interface HttpDeps extends ReachDeps {
  readonly patterns: PatternLanes;
  readonly robots: RobotsGate;
  readonly bodies: BodyRoom;
  /** Epoch milliseconds: certificates end by the wall clock. */
  readonly now: () => number;
}

/** With this check's own part of what all share. */
interface RunDeps extends HttpDeps {
  readonly share: BodyShare;
}

interface Answered {
  readonly hop: Hop;
  readonly answer: HttpAnswer;
}

export function prepareHttp(assignment: AssignmentOf<'http'>, deps: HttpDeps & PlanDeps) {
  const plan = compileHttpPlan(assignment, deps);
  if ('code' in plan) return plan;
  const { timeoutMs } = assignment;
  if (plan.retryAfter) return rested(plan.retryAfter, checkOf(plan, timeoutMs, deps));
  return checkOf(plan, timeoutMs, deps);
}

/** Not run before the time that the server asked for. */
function rested(retryAfter: RetryAfter, check: (stop: StopSignal) => Promise<Observation>) {
  return (stop: StopSignal) => {
    const refused = retryAfter.refuse();
    return refused ? Promise.resolve(notRun(refused)) : check(stop);
  };
}

function checkOf(plan: HttpPlan, timeoutMs: number, deps: HttpDeps) {
  if (!plan.eachAddress)
    return (stop: StopSignal) => attempted(timeoutMs, stop, (attempt) => checkHttp(plan, attempt, deps));
  const { host, port } = plan.first;
  const place = { host, port, ipFamily: plan.ipFamily, otherNames: plan.otherNames };
  return (stop: StopSignal) =>
    checkEachAddress(place, timeoutMs, deps, stop, (resolveTo, attempt) =>
      checkHttp({ ...plan, resolveTo }, attempt, deps),
    );
}

/** One HTTP check: request, redirects, expectations. What a target does wrong is in the observation, never thrown. */
async function checkHttp(plan: HttpPlan, attempt: Attempt, deps: HttpDeps): Promise<Observation> {
  const findings = newFindings();
  const share = deps.bodies.share();
  try {
    const answered = await follow(plan, findings, attempt, { ...deps, share });
    // The clock stops with the last byte: what is done to the body is the probe's own time.
    const totalMs = performance.now() - attempt.beganMs;
    const why = 'code' in answered ? answered : await judge(plan, answered, findings, deps);
    const quality = why ? null : judgeQuality(plan.expect, findings.tls, totalMs, deps.now());
    return observed(findings, attempt, totalMs, why, quality);
  } finally {
    share.close();
  }
}

/** From hop to hop until an answer is none of a redirect. */
async function follow(
  plan: HttpPlan,
  findings: Findings,
  attempt: Attempt,
  deps: RunDeps,
): Promise<Answered | Failure> {
  let hop = plan.first;
  for (;;) {
    if (plan.robots) {
      const refused = await askRobots(hop, plan, attempt, deps);
      if (refused) return refused;
    }
    const answer = await ask(hop, plan, findings, attempt, deps);
    if ('code' in answer) return answer;
    plan.retryAfter?.note(answer.status, answer.headers);
    const location = leadsOn(plan, answer.status, answer.headers);
    if (location === null) return { hop, answer };
    if (findings.redirects === plan.maxRedirects)
      return failure('http.redirects', `more than ${plan.maxRedirects} redirects`);
    findings.redirects += 1;
    const next = nextHop(hop, answer.status, location);
    if ('code' in next) return next;
    hop = next;
  }
}

/** Where an answer sends this check, or null where it is the last one. */
function leadsOn(plan: HttpPlan, status: number, headers: readonly Buffer[]): string | null {
  if (!isRedirect(status) || plan.maxRedirects === 0) return null;
  return headerValues(headers, 'location')[0] ?? null;
}

const robotsBytes = 262_144;
const robotsRedirects = 5;

const mostRobotsMs = 2000;

/**
 * Fetched like any target, within half of the check's own deadline and never two seconds, while the check's clock
 * stands: a site that answers for its robots.txt slowly or not at all is checked all the same, with all of its time.
 */
function askRobots(hop: Hop, plan: HttpPlan, attempt: Attempt, deps: RunDeps): Promise<Failure | null> {
  const deadlineMs = Math.min(mostRobotsMs, attempt.timeoutMs / 2);
  return deps.robots.refuse(hop.url, placeOf(hop, plan), (url) =>
    aside(attempt, deadlineMs, (own) => fetchRobots(url, hop, plan, own, deps)),
  );
}

function placeOf(hop: Hop, plan: HttpPlan): string {
  return hop.trusted ? (plan.resolveTo ?? '') : '';
}

async function fetchRobots(
  url: URL,
  hop: Hop,
  plan: HttpPlan,
  attempt: Attempt,
  deps: RunDeps,
): Promise<string | null> {
  const robotsPlan: HttpPlan = {
    ...plan,
    first: makeHop(url, 'GET', harmlessFields(hop.headers), null, hop.trusted),
    robots: false,
    retryAfter: null,
    maxRedirects: robotsRedirects,
    maxBodyBytes: robotsBytes,
    keepsBody: true,
  };
  const answered = await follow(robotsPlan, newFindings(), attempt, deps);
  if ('code' in answered || answered.answer.status !== 200) return null;
  const { answer } = answered;
  const encoding = headerValues(answer.headers, 'content-encoding').join(',');
  const decoded = await decodeBody(answer.body, encoding, robotsBytes);
  return 'bytes' in decoded ? decoded.bytes.toString('utf8') : null;
}

/** RFC 7301 names, the most wanted first. */
const offers = { '1.1': ['http/1.1'], '2': ['h2'], any: ['h2', 'http/1.1'] } as const;

/** One request over a connection of its own, every phase within the policy. */
async function ask(
  hop: Hop,
  plan: HttpPlan,
  findings: Findings,
  attempt: Attempt,
  deps: RunDeps,
): Promise<HttpAnswer | Failure> {
  if (plan.httpVersion === '2' && !hop.secure)
    return failure('protocol.refused', `HTTP/2 is spoken over TLS only, and ${shownUrl(hop.url)} is plain`);
  noteRequest(attempt.trace, null);
  attempt.trace.certificates = [];
  const connected = await connectHop(hop, plan, findings, attempt, deps);
  if ('code' in connected) return connected;
  findings.remoteIp = connected.remoteAddress ?? findings.remoteIp;
  let socket: Socket = connected;
  let speak = exchange;
  if (hop.secure) {
    const serverName = hop.trusted ? (plan.serverName ?? sniOf(hop.host)) : sniOf(hop.host);
    const secured = await handshake(
      connected,
      {
        context: hop.trusted ? plan.context : plan.strangerContext,
        name: serverName ?? hop.host.replace(/^\[|\]$/g, ''),
        serverName,
        verify: plan.verify,
        alpn: offers[plan.httpVersion],
      },
      attempt,
    );
    findings.tls = secured.facts;
    if ('failure' in secured) return secured.failure;
    if (secured.socket.alpnProtocol === 'h2') speak = exchangeHttp2;
    else if (plan.httpVersion === '2') {
      secured.socket.destroy();
      return failure('protocol.refused', 'the server does not speak HTTP/2: it chose none of ALPN');
    }
    socket = secured.socket;
  } else findings.tls = null;
  const sent = hop.trusted ? { ...hop, headers: traced(hop.headers, attempt.trace) } : hop;
  noteRequest(attempt.trace, sent);
  const answer = await speak(
    socket,
    plan.proxy && !tunnels(hop, plan) ? askedOfProxy(sent, plan.proxy) : sent,
    {
      maxBodyBytes: plan.maxBodyBytes,
      share: deps.share,
      body(status, headers) {
        noteHead(attempt.trace, { status, headers });
        if (leadsOn(plan, status, headers) !== null) return 'leave';
        return plan.keepsBody || headerValues(headers, 'content-encoding').length > 0 ? 'keep' : 'count';
      },
    },
    attempt,
  );
  findings.status = answer.status ?? findings.status;
  findings.httpVersion = answer.httpVersion || findings.httpVersion;
  findings.bytes += answer.bytes;
  if ('failure' in answer) return answer.failure;
  findings.truncated = answer.truncated;
  return answer;
}

function connectHop(
  hop: Hop,
  plan: HttpPlan,
  findings: Findings,
  attempt: Attempt,
  deps: RunDeps,
): Promise<Socket | Failure> {
  const { host, port, trusted } = hop;
  const place = {
    host,
    port,
    ipFamily: plan.ipFamily,
    resolveTo: trusted ? plan.resolveTo : null,
    otherNames: trusted ? plan.otherNames : [],
  };
  findings.remoteIp = null;
  if (!plan.proxy) return reachTold(place, findings, attempt, deps);
  const refused = refusedName(place, deps);
  return refused ? Promise.resolve(refused) : connectByProxy(hop, plan.proxy, plan, attempt, deps);
}

/** Where more than one address was tried, which family won and what the others did is told. */
async function reachTold(
  place: Place,
  findings: Findings,
  attempt: Attempt,
  deps: RunDeps,
): Promise<Socket | Failure> {
  const tried: Tried[] = [];
  const reached = await reach(place, attempt, deps, tried);
  findings.facts = tried.length > 1 ? raceFacts(tried) : null;
  return reached;
}

/** Head, then body: what is wrong with the answer, or null. */
async function judge(
  plan: HttpPlan,
  { hop, answer }: Answered,
  findings: Findings,
  deps: HttpDeps,
): Promise<Failure | null> {
  const { expect } = plan;
  const head = judgeHead(expect, { secure: hop.secure, ...answer });
  if (head.failure) return head.failure;
  const text = await readBody(plan, answer, findings);
  if (typeof text !== 'string') return text;
  const { tests } = head;
  if (!expect.body) return tests.length === 0 ? null : deps.patterns.run({ tests, body: null });
  const work = { tests, body: { expect: expect.body, text } };
  if (text.length > (expect.body.json.length > 0 ? inlineJson : inlineSearch)) return deps.patterns.run(work);
  const judged = judgeBody(expect.body, text);
  if (judged.failure) return judged.failure;
  if (judged.tests.length > 0) return deps.patterns.run(work);
  return tests.length === 0 ? null : deps.patterns.run({ tests, body: null });
}

/** Up to here, in UTF-16 code units, they take the event loop about half a millisecond. */
const inlineSearch = 1_048_576;
const inlineJson = 65_536;

/**
 * The body's text, where one is expected; a coding that does not hold what its header says is a failure in any case.
 * What is larger than the cap fails only where somebody wants to read it.
 */
async function readBody(plan: HttpPlan, answer: HttpAnswer, findings: Findings): Promise<string | Failure> {
  const wanted = plan.expect.body !== null;
  const tooLarge = wanted
    ? failure('body.too_large', `the body is larger than ${plan.maxBodyBytes} bytes`)
    : null;
  if (answer.truncated) return tooLarge ?? '';
  const encoding = headerValues(answer.headers, 'content-encoding').join(',');
  if (!wanted && encoding === '') return '';
  const decoded = await decodeBody(answer.body, encoding, plan.maxBodyBytes);
  if ('failure' in decoded) return decoded.failure;
  if ('tooLarge' in decoded) {
    findings.truncated = true;
    return tooLarge ?? '';
  }
  if ('unknown' in decoded)
    return wanted ? failure('body.encoding', 'the body has a content coding that is not known here') : '';
  return wanted ? bodyText(decoded.bytes, headerValues(answer.headers, 'content-type')[0]) : '';
}
