import { dayUs } from '../store/partition-plan.ts';
import { bytes, few, listed, span, whole } from '../web/figures.ts';
import type { StatusFacts } from './facts.ts';
import { silentSeconds } from './hub-lines.ts';
import { act, ok, type StatusLine, watch } from './line.ts';

const slowMs = 100;
const longSeconds = 600;
/** Of two billion. */
const unfrozenMost = { watch: 400_000_000, act: 1_200_000_000 } as const;
const freeShare = { watch: 0.15, act: 0.05 } as const;
const freeLeast = 1024 ** 3;

export function databaseLines({ database, latencyMs, replicas }: StatusFacts): StatusLine[] {
  const { version, sizeBytes, connections, maxConnections, oldestTransaction, unfrozen, standbys } = database;
  const facts = {
    version,
    sizeBytes,
    connections,
    maxConnections,
    latencyMs: Math.round(latencyMs * 10) / 10,
  };
  const says = `PostgreSQL ${version.split(' ')[0]}, ${bytes(sizeBytes)}, ${connections} of ${maxConnections} connections, answers in ${latencyMs.toFixed(1)} ms`;
  const lines: StatusLine[] = [
    latencyMs > slowMs
      ? watch('database', says, 'it answers slowly: look at its load, its disk and pg_stat_activity', facts)
      : ok('database', says, facts),
  ];
  if (connections > 0.9 * maxConnections) {
    const advice = 'raise max_connections or put a pooler in between: a hub that gets none stores nothing';
    lines.push(act('database', `${connections} of ${maxConnections} connections are taken`, advice, facts));
  }
  if (oldestTransaction && oldestTransaction.seconds > longSeconds) {
    const { pid, name, seconds } = oldestTransaction;
    lines.push(
      watch(
        'database',
        `${name} (process ${pid}) has a transaction open for ${span(seconds)}`,
        `it holds up vacuum and the drop of old partitions: \`select pg_terminate_backend(${pid})\` unless it is a dump`,
        { pid, seconds: Math.round(seconds) },
      ),
    );
  }
  if (unfrozen > unfrozenMost.watch) {
    const level = unfrozen > unfrozenMost.act ? act : watch;
    const advice =
      'autovacuum does not keep up: look for old transactions and slots, then run vacuum (freeze)';
    lines.push(level('database', `${whole(unfrozen)} transactions are not frozen`, advice, { unfrozen }));
  }
  for (const { name, state, lagSeconds } of standbys) {
    const standby = `standby ${name} ${state}, ${span(lagSeconds)} behind`;
    lines.push(
      lagSeconds > 60
        ? watch('database', standby, 'a failover now would lose so much', { lagSeconds })
        : ok('database', standby, { lagSeconds }),
    );
  }
  return [...lines, ...diskLines(replicas)];
}

function diskLines(replicas: StatusFacts['replicas']): StatusLine[] {
  const told = replicas.flatMap(({ seenSecondsAgo, says }) =>
    seenSecondsAgo <= silentSeconds && says ? [says] : [],
  );
  const disk = told.find((says) => says.disk)?.disk;
  if (!disk) {
    const says = 'the disk of PostgreSQL is not seen from here: watch it where it is';
    return told.length > 0 ? [ok('database', says, { freeBytes: null })] : [];
  }
  const { path, freeBytes, totalBytes } = disk;
  const share = freeBytes / totalBytes;
  const says = `${bytes(freeBytes)} of ${bytes(totalBytes)} free on the disk of ${path}`;
  const facts = { path, freeBytes, totalBytes };
  if (share > freeShare.watch) return [ok('database', says, facts)];
  const advice = 'free some or enlarge it; PARALLAX_RETENTION_DAYS lower drops the oldest days at once';
  const isLow = share < freeShare.act || freeBytes < freeLeast;
  return [(isLow ? act : watch)('database', says, advice, facts)];
}

export function partitionLines({ partitions, sealedUntilUs, nowUs, replicas }: StatusFacts): StatusLine[] {
  const total = partitions.reduce((sum, one) => sum + one.bytes, 0);
  const rows = partitions.reduce((sum, one) => sum + one.rows, 0);
  const facts = { count: partitions.length, bytes: total, rows, sealedUntilUs };
  // Without a hole from now on.
  let aheadUs = nowUs;
  for (const { fromUs, toUs } of partitions) if (fromUs <= aheadUs && toUs > aheadUs) aheadUs = toUs;
  const sealed = sealedUntilUs === null ? 'nothing sealed yet' : `sealed until ${day(sealedUntilUs)}`;
  const says = `${whole(partitions.length)} with about ${few(rows, 'result')}, ${bytes(total)}; ${sealed}`;
  const lines = [ok('partitions', says, facts)];
  const aheadSeconds = (aheadUs - nowUs) / 1_000_000;
  if (aheadSeconds < 86_400) {
    const text =
      aheadSeconds <= 0
        ? 'there is none for now: no result can be stored'
        : `made for only ${span(aheadSeconds)} ahead`;
    lines.push(
      act('partitions', text, 'see why the hub makes none: its log says (rights, a full disk, a lock)'),
    );
  } else lines.push(ok('partitions', `made until ${day(aheadUs)}, ${span(aheadSeconds)} ahead`, { aheadUs }));
  const keeps = replicas.flatMap(({ says }) => (says ? [says.retentionDays] : []));
  const oldest = partitions[0];
  if (keeps.length > 0 && oldest && oldest.toUs < nowUs - (Math.min(...keeps) + 0.2) * dayUs) {
    const days = listed([...new Set(keeps)].map((each) => few(each, 'day')));
    lines.push(
      watch(
        'partitions',
        `${oldest.name} has outlived retention (${days}) and is still there`,
        'somebody reads results without end, such as a dump: it is dropped when they are done',
      ),
    );
  }
  return lines;
}

const manyDead = 100_000;

export function tableLines({ tables }: StatusFacts): StatusLine[] {
  return tables.flatMap(({ name, live, dead, bytes: size, vacuumedAt }) => {
    if (dead < manyDead || dead < 0.5 * live) return [];
    const last = vacuumedAt === null ? 'never' : day(vacuumedAt.getTime() * 1000);
    const says = `${name}: ${whole(dead)} dead rows beside ${whole(live)}, ${bytes(size)}, vacuumed ${last}`;
    const advice = `autovacuum does not keep up: look for old transactions, or run \`vacuum (verbose) ${name}\``;
    return [watch('tables', says, advice, { name, live, dead })];
  });
}

function day(us: number): string {
  return `${new Date(us / 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
