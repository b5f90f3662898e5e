import { Resolver } from 'node:dns';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { parseHosts } from '../checks/hosts-file.ts';
import { isThisMachine } from '../checks/resolve.ts';

/** `none`: DNS says that there is no such name. `silent`: it said nothing that could be used. */
export type LookedUp =
  | { readonly kind: 'addresses'; readonly addresses: readonly string[] }
  | { readonly kind: 'none' }
  | { readonly kind: 'silent'; readonly why: string };

/** Never rejects. Each is settled within `timeoutMs`. */
export type LookUp = (name: string, timeoutMs: number) => Promise<LookedUp>;

/**
 * Asks DNS by the servers that resolv.conf names now: a machine that moved has others. Not by `dns.lookup`, which holds
 * a thread of libuv's pool for as long as a server is silent, and the spool writes through the same four.
 */
export function lookUpHere(servers?: readonly string[]): LookUp {
  const resolver = new Resolver({ timeout: 700, tries: 2 });
  if (servers) resolver.setServers([...servers]);
  return async (name, timeoutMs) => {
    const literal = name.replace(/^\[|\]$/g, '');
    if (isIP(literal)) return { kind: 'addresses', addresses: [literal] };
    if (isThisMachine(name)) return { kind: 'addresses', addresses: ['127.0.0.1'] };
    const hosts = parseHosts(await readFile('/etc/hosts', 'utf8').catch(() => ''));
    const written = hosts.get(name.toLowerCase().replace(/\.$/, ''));
    if (written) return { kind: 'addresses', addresses: written };
    return ask(resolver, name, timeoutMs);
  };
}

function ask(resolver: Resolver, name: string, timeoutMs: number): Promise<LookedUp> {
  return new Promise((resolve) => {
    const found: string[] = [];
    let waiting = 2;
    let trouble: string | null = null;
    const settle = (looked: LookedUp) => {
      clearTimeout(timer);
      resolve(looked);
    };
    const timer = setTimeout(() => settle({ kind: 'silent', why: 'no answer' }), timeoutMs);
    const answered = (error: NodeJS.ErrnoException | null, addresses: string[]) => {
      waiting -= 1;
      if (!error) found.push(...addresses);
      else if (error.code !== 'ENOTFOUND' && error.code !== 'ENODATA')
        trouble ??= error.code ?? error.message;
      if (waiting > 0) return;
      if (found.length > 0) settle({ kind: 'addresses', addresses: found });
      else settle(trouble === null ? { kind: 'none' } : { kind: 'silent', why: trouble });
    };
    resolver.resolve4(name, answered);
    resolver.resolve6(name, answered);
  });
}
