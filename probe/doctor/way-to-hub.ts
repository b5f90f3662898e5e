import { randomBytes } from 'node:crypto';
import { lookup, Resolver } from 'node:dns/promises';
import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls, getCACertificates, type PeerCertificate } from 'node:tls';
import { request } from 'undici';
import { type Finding, fail, ok, warn } from '../../shared/doctor.ts';
import { tlsTrouble } from '../../shared/tls-trouble.ts';
import { hubDispatcher, linkTrouble } from '../hub/open-hub-link.ts';

const timeoutMs = 5000;

export interface WayToHub {
  /** Where the hub is dialled. */
  readonly hub: string;
  readonly ca: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const proxyOf = ({ hub, env }: WayToHub) => {
  const name = new URL(hub).protocol === 'https:' ? 'https_proxy' : 'http_proxy';
  return env[name] || env[name.toUpperCase()] || null;
};

export async function lookAtNames({ hub }: WayToHub): Promise<readonly Finding[]> {
  const host = new URL(hub).hostname.replace(/^\[|\]$/g, '');
  const findings: Finding[] = [];
  const sinceMs = performance.now();
  try {
    const found = await within(lookup(host, { all: true }));
    const took = Math.round(performance.now() - sinceMs);
    const seen = `${host} is ${found
      .map(({ address }) => address)
      .slice(0, 4)
      .join(', ')} (${took} ms)`;
    findings.push(
      took > 1000
        ? warn('DNS', seen, 'a resolver this slow delays every check: use a nearer one')
        : ok('DNS', seen),
    );
  } catch (error) {
    const why = linkTrouble(error);
    findings.push(fail('DNS', `${host}: ${why}`, 'look at /etc/resolv.conf and at --hub'));
  }
  // A name that cannot exist (RFC 6761): who answers for it answers wrongly for others, too.
  const impossible = `${randomBytes(8).toString('hex')}.invalid`;
  const resolver = new Resolver({ timeout: 2000, tries: 1 });
  try {
    const [address] = await resolver.resolve4(impossible);
    const todo =
      'this resolver invents answers: endpoints that are gone will seem to be there. Use another one';
    findings.push(warn('DNS honesty', `${impossible} is said to be ${address}`, todo));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTFOUND' || code === 'ENODATA')
      findings.push(ok('DNS honesty', 'a name that does not exist is said not to'));
    else
      findings.push(
        warn(
          'DNS honesty',
          `no resolver answers (${code})`,
          'look at /etc/resolv.conf: checks of names will fail',
        ),
      );
  }
  return findings;
}

/** Whether the hub answers, who answers in its name, and what its clock says. */
export async function lookAtHub(way: WayToHub): Promise<readonly Finding[]> {
  const { hub, ca, env } = way;
  const proxy = proxyOf(way);
  const findings: Finding[] = [];
  if (proxy !== null)
    findings.push(ok('proxy', `the hub is reached through ${URL.parse(proxy)?.host ?? 'a proxy'}`));
  else if (new URL(hub).protocol === 'https:') findings.push(...(await lookAtTls(way)));
  const dispatcher = hubDispatcher(env, ca);
  try {
    const askedMs = Date.now();
    const answer = await request(`${hub.replace(/\/+$/, '')}/healthz`, {
      dispatcher,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = (await answer.body.text()).slice(0, 1000);
    const tookMs = Date.now() - askedMs;
    if (answer.statusCode !== 200 || !text.includes('"alive"')) {
      const seen = `${hub} answers ${answer.statusCode}, not as a hub does`;
      findings.push(
        fail('hub', seen, 'is --hub right? A captive portal or a load balancer may answer in its place'),
      );
      return findings;
    }
    findings.push(ok('hub', `${hub} answers in ${tookMs} ms`));
    const date = Date.parse(String(answer.headers.date ?? ''));
    if (Number.isFinite(date)) findings.push(clockFinding(date - (askedMs + tookMs / 2)));
  } catch (error) {
    const trouble =
      tlsTrouble(error, { peer: hub, ca: '--hub-ca FILE', cert: '', own: null }) ?? linkTrouble(error);
    findings.push(
      fail(
        'hub',
        `${hub}: ${trouble}`,
        'a probe needs outbound HTTPS to the hub and nothing else: look at firewall, HTTPS_PROXY and --hub-ca',
      ),
    );
  } finally {
    await dispatcher.destroy();
  }
  return findings;
}

/** The header tells whole seconds. */
function clockFinding(offsetMs: number): Finding {
  const aheadMs = -(offsetMs + 500);
  const seen = `this clock is ${(Math.abs(aheadMs) / 1000).toFixed(1)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the hub's`;
  if (Math.abs(aheadMs) <= 1500) return ok('clock', "within a second of the hub's");
  return warn(
    'clock',
    seen,
    "slots run on the hub's time, so no result is wrong; certificates are judged by this clock: let chrony or systemd-timesyncd set it",
  );
}

/** A certificate that only this machine's own authorities vouch for, and no public one: somebody may read along. */
async function lookAtTls({ hub, ca }: WayToHub): Promise<readonly Finding[]> {
  const { hostname, port } = new URL(hub);
  const host = hostname.replace(/^\[|\]$/g, '');
  const options = {
    host,
    port: Number(port || 443),
    ...(isIP(host) === 0 && { servername: host }),
    timeout: timeoutMs,
  };
  const seenBy = async (authorities: readonly string[]) =>
    new Promise<{ trusted: boolean; certificate: PeerCertificate } | null>((done) => {
      const socket = connectTls({ ...options, ca: [...authorities], rejectUnauthorized: false });
      socket.once('secureConnect', () => {
        done({ trusted: socket.authorized, certificate: socket.getPeerCertificate() });
        socket.destroy();
      });
      for (const event of ['error', 'timeout'] as const)
        socket.once(event, () => {
          socket.destroy();
          done(null);
        });
    });
  const byPublic = await seenBy(getCACertificates('bundled'));
  if (!byPublic) return [];
  const { O, CN } = byPublic.certificate.issuer;
  const issuer = [O, CN].flat().filter(Boolean).join(' / ');
  if (byPublic.trusted) return [ok('TLS', `the hub's certificate is by ${issuer}, a public authority`)];
  const own = [...getCACertificates('default'), ...getCACertificates('system'), ...(ca === null ? [] : [ca])];
  const byOwn = await seenBy(own);
  if (!byOwn?.trusted)
    return [
      fail(
        'TLS',
        `the hub's certificate is by ${issuer}, whom nothing here trusts`,
        'give that authority with --hub-ca FILE, if it is your own; else somebody stands between',
      ),
    ];
  const todo =
    'right where the hub has an authority of its own. Else a TLS-intercepting proxy reads along: it cannot forge leases or results, they are signed, yet ask that the hub be exempted';
  return [
    warn('TLS', `the hub's certificate is by ${issuer}: trusted here, not by public authorities`, todo),
  ];
}

export async function lookAtKafka(brokers: readonly string[]): Promise<readonly Finding[]> {
  return Promise.all(
    brokers.map(async (broker): Promise<Finding> => {
      const at = broker.lastIndexOf(':');
      const [host, port] = [broker.slice(0, at).replace(/^\[|\]$/g, ''), Number(broker.slice(at + 1))];
      const sinceMs = performance.now();
      try {
        await within(
          new Promise<void>((done, refused) => {
            const socket = connectTcp({ host, port, timeout: timeoutMs });
            socket.once('connect', () => {
              socket.destroy();
              done();
            });
            socket.once('error', refused);
            socket.once('timeout', () => {
              socket.destroy();
              refused(new Error('no answer in time'));
            });
          }),
        );
        return ok('Kafka', `${broker} takes connections (${Math.round(performance.now() - sinceMs)} ms)`);
      } catch (error) {
        return warn(
          'Kafka',
          `${broker}: ${linkTrouble(error)}`,
          'results go by the hub instead (the relay), which costs it more: open the way to the broker, or say --delivery relay',
        );
      }
    }),
  );
}

function within<T>(work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('no answer in time')), timeoutMs);
  return Promise.race([work, promise]).finally(() => clearTimeout(timer));
}
