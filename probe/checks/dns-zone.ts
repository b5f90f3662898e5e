import type { FactValue } from '../../shared/facts.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import { type Attempt, addPhase } from './attempt.ts';
import { branched } from './branches.ts';
import { ask } from './dns-ask.ts';
import type { DnsPlace } from './dns-datagram.ts';
import { judgeAnswer } from './dns-expect.ts';
import type { DnsMessage } from './dns-message.ts';
import { findNameservers, plainManner } from './dns-nameservers.ts';
import type { DnsPlan } from './dns-plan.ts';
import type { Servers } from './dns-servers.ts';
import type { Findings } from './observed.ts';
import type { PatternLanes } from './pattern-lanes.ts';
import type { ReachDeps } from './reach.ts';

export interface DnsOutcome {
  readonly totalMs: number;
  readonly failure: Failure | null;
}

interface ZoneDeps extends Pick<ReachDeps, 'policy'> {
  readonly patterns: PatternLanes;
}

/**
 * Every name server of the zone that the name lies in: each is asked the question, without recursion, and for its
 * version of the zone. Which they are, and where, the resolver says; each address is vetted like any target's.
 */
export async function checkZone(
  plan: DnsPlan,
  servers: Servers,
  findings: Findings,
  attempt: Attempt,
  deps: ZoneDeps,
): Promise<DnsOutcome> {
  const beganDns = performance.now();
  const zone = await findNameservers(plan, servers, attempt, deps.policy);
  addPhase(attempt, 'dns', beganDns);
  if ('code' in zone) return { totalMs: performance.now() - attempt.beganMs, failure: zone };
  const beganWait = performance.now();
  const told = await branched(attempt, zone.nameservers, ({ name, place }, own) =>
    'code' in place
      ? Promise.resolve({
          name,
          address: null,
          failure: place,
          message: null,
          serial: null,
          waitMs: null,
          bytes: 0,
        })
      : askNameserver(plan, zone.name, name, place, own, servers, deps),
  );
  addPhase(attempt, 'wait', beganWait);
  const totalMs = performance.now() - attempt.beganMs;
  findings.bytes = told.reduce((sum, { bytes }) => sum + bytes, 0);
  findings.facts = {
    zone: zone.name,
    serials: [...new Set(told.flatMap(({ serial }) => serial ?? []))],
    nameservers: told.map(
      ({ name, address, failure: why, message, serial, waitMs }): FactValue => ({
        name,
        ip: address,
        ...(why ? { failure: why.code } : {}),
        ...(message ? { rcode: message.rcode } : {}),
        ...(serial === null ? {} : { serial }),
        ...(waitMs === null ? {} : { waitMs: Math.round(waitMs * 1000) / 1000 }),
      }),
    ),
  };
  for (const { name, address, failure: why, message } of told) {
    findings.remoteIp = address;
    const wrong = why ?? (message && (await judged(plan, message, deps.patterns)));
    if (wrong) return { totalMs, failure: failure(wrong.code, `${name}: ${wrong.message}`) };
  }
  return { totalMs, failure: plan.expect.sameSerial ? judgeSerials(told) : null };
}

async function judged(plan: DnsPlan, message: DnsMessage, patterns: PatternLanes): Promise<Failure | null> {
  const { failure: why, tests } = judgeAnswer(plan.expect, plan.asked, message);
  return why ?? (tests.length > 0 ? await patterns.run({ tests, body: null }) : null);
}

interface Told {
  readonly name: string;
  readonly address: string | null;
  readonly failure: Failure | null;
  readonly message: DnsMessage | null;
  readonly serial: number | null;
  /** Of the question itself, milliseconds. */
  readonly waitMs: number | null;
  readonly bytes: number;
}

function judgeSerials(told: readonly Told[]): Failure | null {
  const silent = told.find(({ serial }) => serial === null);
  if (silent) return failure('expect.serial', `${silent.name} does not tell its version of the zone`);
  const [first] = told;
  const other = told.find(({ serial }) => serial !== first?.serial);
  if (!first || !other) return null;
  return failure(
    'expect.serial',
    `${first.name} holds version ${first.serial} of the zone, ${other.name} ${other.serial}`,
  );
}

async function askNameserver(
  plan: DnsPlan,
  zone: string,
  name: string,
  place: DnsPlace,
  attempt: Attempt,
  servers: Servers,
  { policy }: ZoneDeps,
): Promise<Told> {
  const deps = { ...servers.deps, policy };
  const { asked: question, request } = plan;
  const manner = { ...plainManner(plan), recursion: false, dnssec: request.dnssec };
  const began = performance.now();
  const asked = await ask(question, [place], manner, attempt, deps);
  const waitMs = performance.now() - began;
  const told = { name, address: place.address, waitMs };
  if ('code' in asked.answer)
    return { ...told, failure: asked.answer, message: null, serial: null, bytes: 0, waitMs: null };
  const { message, bytes } = asked.answer;
  if (question.type === 'SOA' && question.name === zone)
    return { ...told, failure: null, message, serial: serialIn(message), bytes };
  const versions = await ask({ name: zone, type: 'SOA' }, [place], manner, attempt, deps);
  const serial = 'code' in versions.answer ? null : serialIn(versions.answer.message);
  return { ...told, failure: null, message, serial, bytes };
}

const serialIn = ({ answers }: DnsMessage) =>
  answers.find((record) => record.serial !== null)?.serial ?? null;
