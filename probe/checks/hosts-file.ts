import { isIP } from 'node:net';

/** Names and their addresses, in the file's order. Names in lower case, without a trailing dot. */
export type Hosts = ReadonlyMap<string, readonly string[]>;

/** hosts(5): an address and its names a line, `#` begins a comment. Addresses with a zone are left out. */
export function parseHosts(text: string): Hosts {
  const hosts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0 || address.includes('%')) continue;
    for (const name of names) {
      const key = name.toLowerCase().replace(/\.$/, '');
      hosts.set(key, [...(hosts.get(key) ?? []), address]);
    }
  }
  return hosts;
}

export interface SearchList {
  readonly domains: readonly string[];
  /** A name with fewer dots than this is tried with the domains first. */
  readonly ndots: number;
}

/** resolv.conf(5): the last `search` or `domain` counts. */
export function parseSearchList(text: string): SearchList {
  let domains: string[] = [];
  let ndots = 1;
  for (const line of text.split('\n')) {
    const [word, ...rest] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/);
    if (word === 'search' || word === 'domain')
      domains = rest.map((domain) => domain.replace(/^\.+|\.+$/g, '')).filter((domain) => domain !== '');
    if (word !== 'options') continue;
    for (const option of rest) {
      const given = /^ndots:(\d+)$/.exec(option)?.[1];
      if (given !== undefined) ndots = Math.min(15, Number(given));
    }
  }
  return { domains: domains.slice(0, 6), ndots };
}

/** The names to ask for in turn, absolute ones; a trailing dot means "exactly this". */
export function searchNames(name: string, { domains, ndots }: SearchList): readonly string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)];
  const searched = domains.map((domain) => `${name}.${domain}`);
  return name.split('.').length - 1 >= ndots ? [name, ...searched] : [...searched, name];
}
