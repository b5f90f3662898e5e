import { isIP } from 'node:net';
import { type KnownPage, parseKnownPage } from './known-page.ts';

/** A place that the probe's owner named as proof of the network. */
export interface NamedAnchor {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** What the probe's owner says of its network. */
export interface NetworkTerms {
  readonly anchors: readonly NamedAnchor[];
  /** Domains under which nothing unknown exists. */
  readonly canaryDomains: readonly string[];
  readonly knownPage: KnownPage | null;
}

const domain = /^(?=.{1,190}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
const mostAnchors = 16;

/** What `--anchor`, `--canary-domain` and `--known-page` say. Throws an Error that names the flag. */
export function parseNetworkTerms(written: {
  readonly anchors: readonly string[];
  readonly canaryDomains: readonly string[];
  readonly knownPage: string | null;
}): NetworkTerms {
  const { anchors, canaryDomains, knownPage } = written;
  if (anchors.length > mostAnchors) throw new Error(`--anchor: at most ${mostAnchors}`);
  const wrong = canaryDomains.find((one) => !domain.test(one));
  if (wrong !== undefined) throw new Error(`--canary-domain ${wrong}: write it as example.com`);
  return {
    anchors: anchors.map(parseAnchor),
    canaryDomains: canaryDomains.slice(0, 4),
    knownPage: knownPage === null ? null : parseKnownPage(knownPage),
  };
}

/** `HOST`, `HOST:PORT`, `[IPv6]:PORT` or a bare IPv6 address; 443 where no port stands. */
function parseAnchor(text: string): NamedAnchor {
  const bare = isIP(text) === 6 ? `[${text}]` : text;
  const [, six, name, written = '443'] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(bare) ?? [];
  const host = six ?? name ?? '';
  const port = Number(written);
  const isHost = six === undefined ? isIP(host) === 4 || domain.test(host) : isIP(six) === 6;
  if (!isHost || port < 1 || port > 65_535)
    throw new Error(`--anchor ${text}: write it as ns.example, ns.example:53 or [2001:db8::1]:443`);
  return { host, port };
}
