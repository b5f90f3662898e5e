import { isIP } from 'node:net';
import type { NetworkTerms } from './anchors.ts';
import { askGateway, defaultGateway } from './ask-gateway.ts';
import { alteredHub, type HubDocument, hubPlace } from './hub-place.ts';
import type { AnchorSeen, NetworkLook, Reached } from './judge-network.ts';
import { alteredHost, alteredPage, fetchPlain } from './known-page.ts';
import { lookAtDns } from './look-at-dns.ts';
import { type LookUp, lookUpHere } from './look-up.ts';
import { reachTcp } from './reach-tcp.ts';
import { ownNetworks, scopeOf } from './scope.ts';

export interface LookAroundOptions extends HubDocument, NetworkTerms {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Seams for tests. */
  readonly lookUp?: () => LookUp;
  readonly gateway?: () => Promise<string | null>;
  readonly networks?: () => readonly string[];
}

/** Looks once at the network from here: within 2.5 s, and never rejects. `witnesses`: names that DNS knew a moment ago. */
export type LookAround = (witnesses: readonly string[]) => Promise<NetworkLook>;

const dnsMs = 1200;
/** A lost SYN is sent again after a second. */
const reachMs = 1300;
const pageMs = 800;

export function createLookAround(options: LookAroundOptions): LookAround {
  const { dial, anchors, canaryDomains, knownPage, env } = options;
  const { lookUp: lookUpOf = lookUpHere, gateway = defaultGateway, networks = ownNetworks } = options;
  const place = hubPlace(dial, env);
  /** Addresses of the hub and the anchors as DNS last had them: a resolver that is gone is not the network gone. */
  const remembered = new Map<string, string>();

  async function addressOf(host: string, lookUp: LookUp): Promise<string | null> {
    const known = isIP(host) === 0 ? remembered.get(host) : host;
    if (known !== undefined) return known;
    const looked = await lookUp(host, dnsMs);
    const [address] = looked.kind === 'addresses' ? looked.addresses : [];
    if (address !== undefined) remembered.set(host, address);
    return address ?? null;
  }

  async function reach(host: string, port: number, lookUp: LookUp) {
    const address = await addressOf(host, lookUp);
    if (address === null) return { reached: 'silent' as Reached, address };
    return { reached: (await reachTcp(address, port, reachMs)).reached, address };
  }

  async function askAnchors(lookUp: LookUp): Promise<readonly AnchorSeen[]> {
    const own = networks();
    const scope = (address: string | null) => scopeOf(address ?? '', own);
    const asked: Promise<AnchorSeen | null>[] = [
      reach(place.host, place.port, lookUp).then(({ reached, address }) => ({
        what: place.what,
        kind: 'hub',
        scope: scope(address),
        reached,
      })),
      ...anchors.map(async ({ host, port }): Promise<AnchorSeen> => {
        const { reached, address } = await reach(host, port, lookUp);
        return { what: `${host}:${port}`, kind: 'named', scope: scope(address), reached };
      }),
      gateway().then(async (address) => {
        if (address === null) return null;
        const reached = await askGateway(address, reachMs);
        return reached && { what: `the gateway ${address}`, kind: 'gateway', scope: 'local', reached };
      }),
    ];
    return (await Promise.all(asked)).filter((anchor) => anchor !== null);
  }

  /** Whether what is known word for word comes here as it is. Behind a proxy nothing is asked past it. */
  async function askPages(lookUp: LookUp): Promise<string | null> {
    const asked: Promise<string | null>[] = [];
    if (!place.proxied) {
      const hub = addressOf(place.host, lookUp);
      asked.push(hub.then((address) => address && alteredHub(options, address, pageMs)));
      const plain = `http://${new URL(dial).hostname}/`;
      const isFar = (address: string | null) => address !== null && scopeOf(address, networks()) !== 'local';
      if (place.port !== 80)
        asked.push(
          hub.then((address) => (address && isFar(address) ? askPlain(plain, address, alteredHost) : null)),
        );
    }
    if (knownPage) {
      const address = addressOf(new URL(knownPage.url).hostname.replace(/^\[|\]$/g, ''), lookUp);
      const judge: typeof alteredHost = (_url, answer) => alteredPage(knownPage, answer);
      asked.push(address.then((found) => found && askPlain(knownPage.url, found, judge)));
    }
    return (await Promise.all(asked)).find((why) => why !== null) ?? null;
  }

  return async (witnesses) => {
    const lookUp = lookUpOf();
    const hubHost = place.host;
    const [dns, seen, portal] = await Promise.all([
      lookAtDns({ lookUp, hubHost, witnesses, canaryDomains, timeoutMs: dnsMs }),
      askAnchors(lookUp),
      askPages(lookUp),
    ]);
    const { hubAddresses, ...look } = dns;
    const [address] = hubAddresses;
    // What DNS makes up leads to nobody's hub.
    if (address !== undefined && !look.madeUp.includes(address)) remembered.set(hubHost, address);
    return { ...look, anchors: seen, portal };
  };
}

async function askPlain(url: string, address: string, judge: typeof alteredHost): Promise<string | null> {
  const answer = await fetchPlain(url, address, pageMs);
  return answer && judge(url, answer);
}
