import type { DnsType } from '../../shared/dns-question.ts';
import type { FactValue } from '../../shared/facts.ts';
import { type Failure, type FailureCode, failure } from '../../shared/failure.ts';
import { type Attempt, addPhase } from './attempt.ts';
import { type Asked, ask, type Manner } from './dns-ask.ts';
import type { DnsPlace } from './dns-datagram.ts';
import { judgeAnswer } from './dns-expect.ts';
import type { DnsMessage } from './dns-message.ts';
import { type DnsPlan, dnsPort } from './dns-plan.ts';
import { type Servers, vetAll } from './dns-servers.ts';
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

/** More than any zone has; a zone with a thousand of them must not make a probe a weapon. */
const mostNameservers = 16;

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
  const failed = (why: Failure): DnsOutcome => ({
    totalMs: performance.now() - attempt.beganMs,
    failure: why,
  });
  const beganDns = performance.now();
  const lookUp = lookUpBy(servers, plan);
  const zone = await findZone(plan.asked.name, lookUp, attempt);
  if ('code' in zone) return failed(zone);
  const names = zone.nameservers.slice(0, mostNameservers);
  const found = await branched(attempt, names, (name, own) =>
    addressOf(name, plan.request.ipFamily, lookUp, own),
  );
  addPhase(attempt, 'dns', beganDns);
  const vetted: { readonly name: string; readonly place: DnsPlace | Failure }[] = [];
  for (const [index, name] of names.entries()) {
    const address = found[index] ?? failure('dns.nxdomain', 'has no address');
    const places = typeof address === 'string' ? vetAll([address], dnsPort, deps.policy) : address;
    if ('code' in places && places.code === 'policy.blocked') return failed(places);
    vetted.push({
      name,
      place: 'code' in places ? places : (places[0] ?? failure('probe.internal', 'no place')),
    });
  }
  const beganWait = performance.now();
  const told = await branched(attempt, vetted, ({ name, place }, own) =>
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

const plainManner = ({ request }: DnsPlan): Manner => ({
  transport: request.transport === 'tcp' ? 'tcp' : 'udp',
  recursion: true,
  dnssec: false,
  tls: null,
  verify: true,
});

type LookUp = (name: string, type: DnsType, attempt: Attempt) => Promise<DnsMessage | Failure>;

/** What a resolver says of where to ask; what goes wrong there is not the name servers' fault. */
function lookUpBy({ places, deps }: Servers, plan: DnsPlan): LookUp {
  return async (name, type, attempt) => {
    const { answer }: Asked = await ask({ name, type }, places, plainManner(plan), attempt, deps);
    if ('code' in answer)
      return failure(resolversFault(answer.code), `looking for ${name || '.'}: ${answer.message}`);
    const { message } = answer;
    if (message.rcode === 'NOERROR' || message.rcode === 'NXDOMAIN') return message;
    return failure('dns.servfail', `the resolver answers ${message.rcode} for ${type} ${name || '.'}`);
  };
}

function resolversFault(code: FailureCode): FailureCode {
  if (/^(probe|policy)\./.test(code)) return code;
  return code.endsWith('.timeout') ? 'dns.timeout' : 'dns.servfail';
}

const mostSteps = 10;

/** The zone that a name lies in: where there are NS records, or where the SOA of the refusal says. */
async function findZone(
  asked: string,
  lookUp: LookUp,
  attempt: Attempt,
): Promise<{ readonly name: string; readonly nameservers: readonly string[] } | Failure> {
  let name = asked;
  for (let step = 0; step < mostSteps; step += 1) {
    const message = await lookUp(name, 'NS', attempt);
    if ('code' in message) return message;
    const own = message.answers.filter((record) => record.type === 'NS' && bare(record.name) === name);
    if (own.length > 0) return { name, nameservers: [...new Set(own.map(({ data }) => bare(data)))].sort() };
    if (name === '') break;
    const above = message.authority.find((record) => record.type === 'SOA')?.name;
    const zone = above === undefined ? null : bare(above);
    const isAbove = zone !== null && zone !== name && (zone === '' || name.endsWith(`.${zone}`));
    name = isAbove ? zone : name.split('.').slice(1).join('.');
  }
  return failure('dns.nxdomain', `no name servers are known for ${asked || '.'}`);
}

const bare = (name: string) => name.replace(/\.$/, '');

async function addressOf(
  name: string,
  family: 'any' | '4' | '6',
  lookUp: LookUp,
  attempt: Attempt,
): Promise<string | Failure> {
  const types: DnsType[] = family === 'any' ? ['A', 'AAAA'] : [family === '4' ? 'A' : 'AAAA'];
  for (const type of types) {
    const message = await lookUp(name, type, attempt);
    if ('code' in message) return message;
    const address = message.answers.find((record) => record.type === type)?.data;
    if (address !== undefined) return address;
  }
  return failure('dns.nxdomain', 'has no address');
}

/** Several things at once within one attempt, each with what it measures for itself; the attempt's end ends them all. */
async function branched<T, R>(
  attempt: Attempt,
  items: readonly T[],
  run: (item: T, own: Attempt) => Promise<R>,
): Promise<R[]> {
  const branches: Attempt[] = [];
  const branch = (): Attempt => ({
    ...attempt,
    interrupt: null,
    timings: { dns: null, connect: null, tls: null, wait: null, transfer: null },
    pause: () => () => undefined,
  });
  attempt.interrupt = (why) => {
    for (const own of branches) {
      own.ended ??= why;
      own.interrupt?.(why);
    }
  };
  try {
    return await Promise.all(
      items.map((item) => {
        const own = branch();
        branches.push(own);
        return run(item, own);
      }),
    );
  } finally {
    attempt.interrupt = null;
  }
}
