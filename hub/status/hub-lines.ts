import { bytes, few, listed, span, whole } from '../web/figures.ts';
import type { Replica, StatusFacts } from './facts.ts';
import { act, ok, type StatusLine, watch } from './line.ts';

/** A hub tells of itself every 5 s. */
export const silentSeconds = 30;
const roles = ['api', 'ingest'] as const;
/** Leases, request nonces and late results are judged by the hub's clock. */
const skewMs = { watch: 2000, act: 30_000 } as const;
const expiryDays = { watch: 21, act: 7 } as const;
const manyMessages = 100_000;

const lives = ({ seenSecondsAgo }: Replica) => seenSecondsAgo <= silentSeconds;
const nameOf = ({ host, pid, says }: Replica) => `${host} (${says?.listen ?? `process ${pid}`})`;

export function hubLines({ replicas, nowUs }: StatusFacts): StatusLine[] {
  const alive = replicas.filter(lives);
  const lines = replicas.flatMap((replica) => replicaLines(replica, nowUs / 1000));
  for (const role of roles) {
    if (alive.some((replica) => replica.roles.includes(role))) continue;
    const does = role === 'api' ? 'answers probes and people' : 'stores results';
    lines.push(
      act('hub', `no hub that runs has the role ${role}: nothing ${does}`, 'start one: `parallax hub`', {
        role,
      }),
    );
  }
  const versions = new Set(alive.map(({ version }) => version));
  if (versions.size > 1) {
    const says = `replicas run different versions: ${listed([...versions].sort())}`;
    lines.push(watch('hub', says, 'finish the update: no two versions for longer than that takes'));
  }
  return lines;
}

function replicaLines(replica: Replica, nowMs: number): StatusLine[] {
  const { seenSecondsAgo, startedAt, version, roles, says } = replica;
  const facts = {
    host: replica.host,
    pid: replica.pid,
    version,
    roles: roles.join(','),
    seenSecondsAgo: Math.round(seenSecondsAgo),
    rssBytes: says?.rssBytes ?? null,
    clockSkewMs: says?.clockSkewMs ?? null,
  };
  if (!lives(replica)) {
    return [
      act(
        'hub',
        `${nameOf(replica)} has said nothing for ${span(seenSecondsAgo)}`,
        'look at its machine and its log, and start it again; one that is gone for good is forgotten after a day',
        facts,
      ),
    ];
  }
  const upFor = span((nowMs - startedAt.getTime()) / 1000);
  const head = `${nameOf(replica)} ${version}, ${roles.join(' ')}, up ${upFor}${says ? `, ${bytes(says.rssBytes)}` : ''}`;
  const lines: StatusLine[] = [ok('hub', head, facts)];
  if (!says) return lines;
  for (const { what, why } of says.missing) {
    lines.push(act('hub', `${nameOf(replica)} is not ready: ${what}: ${why}`, adviceFor(what), { what }));
  }
  const skew = Math.abs(says.clockSkewMs);
  if (skew > skewMs.watch) {
    const side = says.clockSkewMs > 0 ? 'ahead of' : 'behind';
    const text = `the clock of ${nameOf(replica)} is ${span(skew / 1000)} ${side} the database's`;
    const level = skew > skewMs.act ? act : watch;
    lines.push(level('hub', text, 'set both by NTP: `timedatectl` says whether it runs', { skewMs: skew }));
  }
  if (says.pool.waiting > 5) {
    lines.push(
      watch(
        'hub',
        `${few(says.pool.waiting, 'caller')} of ${nameOf(replica)} wait for a connection to the database`,
        'the database is slow or short of connections: see its lines below',
      ),
    );
  }
  return lines;
}

function adviceFor(what: string): string {
  if (what === 'database')
    return 'start PostgreSQL or free its disk; the hub goes on by itself, probes keep what they have';
  if (what === 'bus') return 'see the line on the bus';
  if (what === 'partitions')
    return "see the hub's log for why no partition could be made: mostly rights or a full disk";
  if (what === 'schema') return 'run `parallax migrate status`';
  return "see the hub's log";
}

export function busLines({ replicas }: StatusFacts): StatusLine[] {
  const reading = replicas.filter(
    (replica) => lives(replica) && replica.says && replica.roles.includes('ingest'),
  );
  return reading.flatMap((replica) => {
    const { bus } = replica.says as NonNullable<Replica['says']>;
    const facts = { host: replica.host, kind: bus.kind, ready: bus.ready, lag: bus.lag };
    if (!bus.ready) {
      const advice =
        bus.kind === 'kafka'
          ? 'look at the brokers and at this message; probes and relay keep what they have meanwhile'
          : 'results wait at the probes; it is mostly the database: see its lines';
      return [act('bus', `${nameOf(replica)}: ${bus.reason ?? 'not ready'}`, advice, facts)];
    }
    if (bus.kind === 'direct')
      return [ok('bus', 'direct: no Kafka, what is not stored waits at the probes', facts)];
    const slowest = bus.slowest
      ? `, slowest partition ${bus.slowest.partition} (${whole(bus.slowest.lag)})`
      : '';
    const says = `Kafka: ${few(bus.lag ?? 0, 'message')} behind at ${nameOf(replica)}${slowest}`;
    if ((bus.lag ?? 0) <= manyMessages) return [ok('bus', says, facts)];
    return [
      watch(
        'bus',
        says,
        'where it grows, add a replica with --roles ingest; where it shrinks, it catches up',
        facts,
      ),
    ];
  });
}

export function ingestLines({ replicas, arrivals, probes }: StatusFacts): StatusLine[] {
  const rows = replicas.filter(lives).reduce((sum, { says }) => sum + (says?.rowsASecond ?? 0), 0);
  const { lastSecondsAgo, endpoints } = arrivals;
  const facts = { rowsASecond: Math.round(rows * 10) / 10, lastSecondsAgo, endpoints };
  const checking = probes.some(({ status }) => status === 'active') && endpoints > 0;
  if (lastSecondsAgo === null) {
    if (!checking)
      return [ok('ingest', 'nothing is checked yet: there are no endpoints, or no probes', facts)];
    return [
      watch('ingest', 'no result has come in yet', 'give it a minute; then see the probes below', facts),
    ];
  }
  const says = `${rows < 10 ? rows.toFixed(1) : whole(rows)} results a second, the last ${span(lastSecondsAgo)} ago`;
  if (lastSecondsAgo < 300 || !checking) return [ok('ingest', says, facts)];
  const advice = 'see the bus and the probes: either nobody checks, or what is checked does not arrive';
  return [act('ingest', says, advice, facts)];
}

export function keyLines({ replicas, nowUs }: StatusFacts): StatusLine[] {
  const lines: StatusLine[] = [];
  const alive = replicas.filter((replica) => lives(replica) && replica.says);
  for (const replica of alive) {
    for (const { what, file, endsAtMs } of replica.says?.certificates ?? []) {
      const days = (endsAtMs - nowUs / 1000) / 86_400_000;
      const text = days < 0 ? `ended ${span(-days * 86_400)} ago` : `ends in ${span(days * 86_400)}`;
      const says = `${what} of ${nameOf(replica)} ${text}`;
      const facts = { file, daysLeft: Math.floor(days) };
      if (days > expiryDays.watch) lines.push(ok('keys', says, facts));
      else {
        const level = days > expiryDays.act ? watch : act;
        lines.push(
          level('keys', says, `renew ${file} in place: the hub takes a new one up by itself`, facts),
        );
      }
    }
  }
  const ttls = new Set(alive.map(({ says }) => says?.leaseTtlSeconds ?? 0));
  const [ttl] = ttls;
  if (ttls.size > 1) {
    const advice = 'set one PARALLAX_LEASE_TTL for all';
    lines.push(
      watch('keys', `replicas give leases of different lengths: ${listed([...ttls].map(span))}`, advice),
    );
  } else if (ttl !== undefined) {
    lines.push(
      ok('keys', `leases last ${span(ttl)}: so long probes go on without a hub`, { leaseTtlSeconds: ttl }),
    );
  }
  const keeping = new Set(alive.map(({ says }) => says?.retentionDays ?? 0));
  if (keeping.size > 1) {
    const days = listed([...keeping].sort((a, b) => a - b).map((each) => few(each, 'day')));
    lines.push(
      watch(
        'keys',
        `replicas keep results for different times (${days}): the shortest holds`,
        'set one PARALLAX_RETENTION_DAYS for all',
      ),
    );
  }
  return lines;
}
