import { join } from 'node:path';
import { root } from '../../harness/imports.ts';
import type { Patch } from './patch.ts';

/** Where a hub may be made to end, as if its power went. */
export const crashPoints = [
  'ingest.before-rows',
  'ingest.rows-before-progress',
  'ingest.before-commit',
  'ingest.after-commit',
  'kafka.stored-before-offset',
  'shards.before-commit',
  'shards.moved',
  'lease.version-taken',
  'lease.before-answer',
  'migrate.statement',
  'migrate.before-record',
  'migrate.before-commit',
] as const;
export type CrashPointName = (typeof crashPoints)[number];

/** The file that marks a folder of bundles with crash points in them. */
export const crashMark = 'crash-points';

const from = join(root, 'test/chaos/build/crash-point.ts').replaceAll('\\', '/');
const prelude = `import { crashPoint, statementsOf } from ${JSON.stringify(from)};`;

function before(file: string, find: string, point: CrashPointName): Patch {
  return { file, find, replace: `crashPoint(${JSON.stringify(point)});\n${find}`, prelude };
}

function after(file: string, find: string, point: CrashPointName): Patch {
  return { file, find, replace: `${find}\ncrashPoint(${JSON.stringify(point)});`, prelude };
}

const store = 'hub/ingest/store-batches.ts';
const shards = 'hub/trust/shard-keeper.ts';
const migrate = 'hub/store/migrate.ts';

/** Puts all crash points into a build. They do nothing until one is armed: see crash-point.ts. */
export const crashPointPatches: readonly Patch[] = [
  before(store, 'await updateStreams(', 'ingest.before-rows'),
  before(store, 'await advanceProgress(', 'ingest.rows-before-progress'),
  before(store, 'if (rows > 0) await tellChange(', 'ingest.before-commit'),
  before('hub/ingest/ingest.ts', 'metrics.stored(', 'ingest.after-commit'),
  before('hub/ingest/kafka-partition.ts', 'resolveOffset(last);', 'kafka.stored-before-offset'),
  before(shards, "if (changed > 0) await tellChange(sql, 'shards');", 'shards.before-commit'),
  before(shards, 'metrics.moved(plan.begin.length);', 'shards.moved'),
  after(
    'hub/trust/arrivals.ts',
    'const versions = await upsertPresence(db, arrivals);',
    'lease.version-taken',
  ),
  before('hub/trust/lease-desk.ts', 'told.delete(probe.id);', 'lease.before-answer'),
  {
    file: migrate,
    find: 'await sql.run(migration[kind]);',
    replace: `for (const statement of statementsOf(migration[kind])) {
      await sql.run(statement);
      crashPoint('migrate.statement');
    }
    crashPoint('migrate.before-record');`,
    prelude,
  },
  before(migrate, 'return pending;', 'migrate.before-commit'),
];
