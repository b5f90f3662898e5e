import type { Database } from '../../hub/store/database.ts';
import { listPartitionFacts } from '../../hub/store/partition-facts.ts';
import { listTableFacts } from '../../hub/store/table-facts.ts';
import { columns } from './columns.ts';

interface Bloat {
  readonly deadShare: number;
  readonly freeShare: number;
}

/** How the tables stand after the load: dead rows, bloat, sizes of indexes, vacuums. For a person to read. */
export async function readKept(db: Database): Promise<string> {
  const exact = await db.run('create extension if not exists pgstattuple').then(
    () => true,
    () => false,
  );
  const rows: string[][] = [
    ['table', 'rows', 'dead', 'MB', 'index MB', 'HOT', 'dead space', 'free space', 'vacuumed'],
  ];
  for (const { name, live, dead, bytes, indexBytes, hotShare, vacuumedAt } of await listTableFacts(db)) {
    if (live + dead === 0) continue;
    const bloat = exact ? await bloatOf(db, name) : null;
    rows.push([
      name,
      String(live),
      String(dead),
      mb(bytes),
      mb(indexBytes),
      hotShare === null ? '' : `${Math.round(hotShare * 100)}%`,
      bloat ? `${bloat.deadShare}%` : '',
      bloat ? `${bloat.freeShare}%` : '',
      vacuumedAt?.toISOString().slice(11, 19) ?? 'never',
    ]);
  }
  const partitions = (await listPartitionFacts(db)).filter((one) => one.rows > 0);
  for (const { name, rows: live, bytes } of partitions)
    rows.push([name, String(live), '', mb(bytes), '', '', '', '', '']);
  const text = columns(rows);
  return exact ? text : `${text}\n(this PostgreSQL has no pgstattuple: dead and free space are not known)`;
}

async function bloatOf(db: Database, table: string): Promise<Bloat | null> {
  const row = await db
    .maybeOne<{ dead: number; free: number }>(
      `select dead_tuple_percent as dead, free_percent as free from pgstattuple(to_regclass($1::text))`,
      [table],
    )
    .catch(() => null);
  return row && { deadShare: row.dead, freeShare: row.free };
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
