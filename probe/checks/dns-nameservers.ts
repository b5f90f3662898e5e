import type { DnsType } from '../../shared/dns-question.ts';
import { type Failure, type FailureCode, failure } from '../../shared/failure.ts';
import type { TargetPolicy } from '../policy/target-policy.ts';
import type { Attempt } from './attempt.ts';
import { branched } from './branches.ts';
import { type Asked, ask, type Manner } from './dns-ask.ts';
import type { DnsPlace } from './dns-datagram.ts';
import type { DnsMessage } from './dns-message.ts';
import { type DnsPlan, dnsPort } from './dns-plan.ts';
import { type Servers, vetAll } from './dns-servers.ts';

/** A zone's name server, and where it is asked; a failure where its name has no address. */
export interface Nameserver {
  readonly name: string;
  readonly place: DnsPlace | Failure;
}

export interface Zone {
  readonly name: string;
  readonly nameservers: readonly Nameserver[];
}

/** More than any zone has; a zone with a thousand of them must not make a probe a weapon. */
const mostNameservers = 16;

/**
 * The zone that the question's name lies in, its name servers and their vetted addresses, all as the resolver says.
 * One that the policy refuses blocks the whole check: it would tell less than it says.
 */
export async function findNameservers(
  plan: DnsPlan,
  servers: Servers,
  attempt: Attempt,
  policy: TargetPolicy,
): Promise<Zone | Failure> {
  const lookUp = lookUpBy(servers, plan);
  // In a branch: what a resolver takes is this check's `dns`, whatever phases it consists of.
  const [zone = notLookedFor] = await branched(attempt, [plan.asked.name], (name, own) =>
    findZone(name, lookUp, own),
  );
  if ('code' in zone) return zone;
  const names = zone.nameservers.slice(0, mostNameservers);
  const addresses = await branched(attempt, names, (name, own) =>
    addressOf(name, plan.request.ipFamily, lookUp, own),
  );
  const nameservers: Nameserver[] = [];
  for (const [index, name] of names.entries()) {
    const address = addresses[index] ?? notLookedFor;
    if (typeof address !== 'string') {
      nameservers.push({ name, place: address });
      continue;
    }
    const [place] = [vetAll([address], dnsPort, policy)].flat();
    if (!place || 'code' in place) return place ?? notLookedFor;
    nameservers.push({ name, place });
  }
  return { name: zone.name, nameservers };
}

const notLookedFor = failure('probe.internal', 'it was not looked for');

/** How what the endpoint does not say itself is asked for. */
export const plainManner = ({ request }: DnsPlan): Manner => ({
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
