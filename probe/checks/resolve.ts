import { Resolver } from 'node:dns';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import { type Attempt, addPhase, interrupted } from './attempt.ts';
import { type Hosts, parseHosts, parseSearchList, type SearchList, searchNames } from './hosts-file.ts';

export type IpFamily = 'any' | '4' | '6';

/** The addresses of the other family, where they come after the first were handed out: a slow AAAA delays nothing. */
export interface LateAddresses {
  /** Whether any may still come. */
  waiting: boolean;
  /** What came; none where there are none. */
  addresses: readonly string[];
  /** Called once, when `waiting` ends. */
  arrived: (() => void) | null;
}

export const newLateAddresses = (): LateAddresses => ({ waiting: false, addresses: [], arrived: null });

export interface ResolveWish {
  /** Where addresses that come later are put; without it they are lost. */
  readonly late?: LateAddresses;
  /** Wait for both families: all addresses of the name. */
  readonly whole?: boolean;
}

export interface NameResolver {
  /** Addresses of a name, IPv4 before IPv6, none of them vetted. An A record is enough to go on. */
  resolve(
    host: string,
    family: IpFamily,
    attempt: Attempt,
    wish?: ResolveWish,
  ): Promise<readonly string[] | Failure>;
  close(): void;
}

export interface NameResolverOptions {
  /** `IP` or `IP:port` of a DNS server to ask in place of the machine's. */
  readonly server?: string | undefined;
  readonly hostsFile?: string;
  readonly resolvConf?: string;
}

const rereadMs = 5000;
const maxAddresses = 8;

/**
 * Asks DNS through c-ares. `dns.lookup` would hold one of the four threads of libuv's pool for as long as a server
 * is silent: four such names and every check of the probe waits. The price is that the hosts file and the search
 * list are read here. Nothing is remembered: the time of a lookup is part of what is measured.
 */
export async function createNameResolver(options: NameResolverOptions = {}): Promise<NameResolver> {
  const { hostsFile = '/etc/hosts', resolvConf = '/etc/resolv.conf' } = options;
  // The attempt's deadline ends the wait; these only bound how long a query that nobody waits for lives on.
  const resolver = new Resolver({ timeout: 2000, tries: 3, maxTimeout: 8000 });
  if (options.server !== undefined) resolver.setServers([options.server]);
  const servers = resolver.getServers().join(', ');
  let hosts: Hosts = new Map();
  let search: SearchList = { domains: [], ndots: 1 };
  const reread = async () => {
    const read = (file: string) => readFile(file, 'utf8').catch(() => '');
    hosts = parseHosts(await read(hostsFile));
    search = parseSearchList(await read(resolvConf));
  };
  await reread();
  const timer = setInterval(reread, rereadMs).unref();
  return {
    async resolve(host, family, attempt, wish = {}) {
      const literal = host.startsWith('[') ? host.slice(1, -1) : host;
      const kind = isIP(literal);
      if (kind !== 0) return ofFamily([literal], family, host);
      const name = host.toLowerCase();
      const bare = name.replace(/\.$/, '');
      const written = isThisMachine(bare) ? thisMachine : hosts.get(bare);
      if (written) {
        attempt.trace.resolver = 'hosts file';
        attempt.trace.addresses = written;
        return ofFamily(written, family, host);
      }
      const began = performance.now();
      const found = await ask(resolver, searchNames(name, search), family, attempt, wish);
      addPhase(attempt, 'dns', began);
      attempt.trace.resolver = servers;
      if ('code' in found) {
        attempt.trace.addresses = [];
        return dnsFailure(found.code, host, attempt);
      }
      attempt.trace.addresses = found;
      return found;
    },
    close() {
      clearInterval(timer);
      resolver.cancel();
    },
  };
}

const thisMachine = ['127.0.0.1', '::1'];

/** RFC 6761, section 6.3: these names are this machine, whatever a server says. */
export function isThisMachine(host: string): boolean {
  return /^(.+\.)?localhost\.?$/i.test(host);
}

function ofFamily(addresses: readonly string[], family: IpFamily, host: string): readonly string[] | Failure {
  const fitting = family === 'any' ? addresses : addresses.filter((each) => isIP(each) === Number(family));
  if (fitting.length > 0) return fitting;
  return failure('dns.nxdomain', `${host} has no IPv${family} address`);
}

type Trouble = { readonly code: 'interrupted' | (string & {}) };

/** Each name in turn, until one has addresses. A name that does not exist leads on to the next, a broken server does not. */
async function ask(
  resolver: Resolver,
  names: readonly string[],
  family: IpFamily,
  attempt: Attempt,
  wish: ResolveWish,
): Promise<readonly string[] | Trouble> {
  let trouble: Trouble = { code: 'ENOTFOUND' };
  for (const name of names) {
    const found = await askOne(resolver, name, family, attempt, wish);
    if (!('code' in found)) return found;
    trouble = found;
    if (found.code !== 'ENOTFOUND' && found.code !== 'ENODATA') break;
  }
  return trouble;
}

/** A and AAAA are asked for at once; an A record is enough to go on, so that a slow AAAA delays nothing. */
function askOne(
  resolver: Resolver,
  name: string,
  family: IpFamily,
  attempt: Attempt,
  { late, whole = false }: ResolveWish,
): Promise<readonly string[] | Trouble> {
  return new Promise((resolve) => {
    if (attempt.ended) return resolve({ code: 'interrupted' });
    let waiting = family === 'any' ? 2 : 1;
    let settled = false;
    let trouble: Trouble | null = null;
    let four: readonly string[] = [];
    let six: readonly string[] = [];
    const done = (outcome: readonly string[] | Trouble) => {
      settled = true;
      attempt.interrupt = null;
      resolve(outcome);
    };
    attempt.interrupt = () => done({ code: 'interrupted' });
    const arrivedLate = (addresses: readonly string[]) => {
      if (!late?.waiting) return;
      late.waiting = false;
      late.addresses = addresses;
      late.arrived?.();
    };
    const answered = (kind: 4 | 6) => (error: NodeJS.ErrnoException | null, addresses: string[]) => {
      waiting -= 1;
      const found = error ? [] : addresses.slice(0, maxAddresses);
      if (settled) return arrivedLate(found);
      // A name without one kind of record is no trouble while the other may come.
      if (error) trouble = worse(trouble, { code: error.code ?? 'ESERVFAIL' });
      if (kind === 4) four = found;
      else six = found;
      if (waiting > 0 && (whole || four.length === 0)) return;
      if (late) late.waiting = waiting > 0;
      const all = [...four, ...six];
      done(all.length > 0 ? all : (trouble ?? { code: 'ENODATA' }));
    };
    if (family !== '6') resolver.resolve4(name, answered(4));
    if (family !== '4') resolver.resolve6(name, answered(6));
  });
}

/** Of two refusals the one that says more: a broken server before an empty answer. */
function worse(one: Trouble | null, other: Trouble): Trouble {
  const empty = (trouble: Trouble) => trouble.code === 'ENODATA' || trouble.code === 'ENOTFOUND';
  return one === null || empty(one) ? other : one;
}

function dnsFailure(code: string, host: string, attempt: Attempt): Failure {
  switch (code) {
    case 'interrupted':
      return interrupted(attempt.ended ?? 'stopped', 'dns', attempt);
    case 'ENOTFOUND':
      return failure('dns.nxdomain', `${host} does not exist`);
    case 'ENODATA':
      return failure('dns.nxdomain', `${host} has no address`);
    case 'EBADNAME':
      return failure('dns.nxdomain', `${host} is not a name that DNS can hold`);
    case 'ETIMEOUT':
      return failure('dns.timeout', `no resolver answered for ${host}`);
    case 'ECONNREFUSED':
      return failure('dns.servfail', `no resolver could be reached for ${host}`);
    case 'EREFUSED':
      return failure('dns.servfail', `the resolver refused to answer for ${host}`);
    default:
      return failure('dns.servfail', `the resolver failed for ${host} (${code})`);
  }
}
