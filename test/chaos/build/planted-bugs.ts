import type { Patch } from './patch.ts';

/** A mistake that an engineer might make, put into a build on purpose: what the machine must find. */
export interface PlantedBug {
  readonly name: string;
  /** What is wrong with it, for the table. */
  readonly what: string;
  readonly patches: readonly Patch[];
  /** The shortest plan that should show it: faults by name, each alone, in this order, again and again. */
  readonly faults: readonly string[];
  /** Environment of the hubs that makes a race wide enough to be seen; the true build is run with the same. */
  readonly env?: Readonly<Record<string, string>>;
}

const storeBatches = 'hub/ingest/store-batches.ts';
const verify = 'hub/ingest/verify.ts';

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'acknowledge-before-commit',
    what: 'a lease tells as durable what is still in an open transaction',
    faults: ['postgres.lock-results'],
    patches: [
      {
        file: storeBatches,
        find: 'const { rows, duplicates } = await storeResults(',
        replace: `for (const { stream, state } of taken.streams) (globalThis as { told?: Map<string, number> }).told?.set(stream, state.upTo);
        const { rows, duplicates } = await storeResults(`,
      },
      {
        file: 'hub/store/select-durable.ts',
        find: 'for (const { probeId, stream, upTo } of rows) {',
        replace: `const told = ((globalThis as { told?: Map<string, number> }).told ??= new Map<string, number>());
        for (const { probeId, stream, upTo: committed } of rows) {
          const upTo = Math.max(committed, told.get(stream) ?? 0);`,
      },
    ],
  },
  {
    name: 'no-fsync',
    what: 'the spool acknowledges what is only in memory of the system',
    faults: ['probe.power-loss'],
    patches: [{ file: 'probe/spool/segment-log.ts', find: 'await handle.datasync();', replace: '' }],
  },
  {
    name: 'no-folder-fsync',
    what: 'a new spool file is written and synced, and its name is not',
    faults: ['probe.power-loss'],
    patches: [{ file: 'probe/spool/segment-log.ts', find: '      await syncFolder(dir);', replace: '' }],
  },
  {
    name: 'region-from-batch',
    what: 'results are stored under the region that the batch claims',
    faults: ['probe.liar'],
    patches: [
      {
        file: verify,
        find: 'if (batch.regionId !== probe.regionId) return',
        replace: 'if (batch.regionId < 0) return',
      },
      {
        file: verify,
        find: 'claim, regionId: probe.regionId, results,',
        replace: 'claim, regionId: batch.regionId, results,',
      },
      { file: verify, find: '!regions?.has(probe.regionId)', replace: '!regions' },
    ],
  },
  {
    name: 'no-signature-check',
    what: 'whoever knows the id of a key may speak with it',
    faults: ['probe.liar'],
    patches: [
      { file: verify, find: 'if (!verifyBytes(', replace: 'if (verifyBytes.length > 99 && !verifyBytes(' },
    ],
  },
  {
    name: 'offset-first',
    what: 'stream and progress are committed before the rows that they speak of',
    faults: ['hub.crash.ingest.before-rows'],
    patches: [
      {
        file: storeBatches,
        find: 'const { rows, duplicates } = await storeResults(',
        replace: `await updateStreams(sql, taken.streams);
        await advanceFirst(sql, steps);
        await sql.run('commit');
        await sql.run('begin');
        const { rows, duplicates } = await storeResults(`,
        prelude: "import { advanceProgress as advanceFirst } from '../store/advance-progress.ts';",
      },
      { file: storeBatches, find: 'await advanceProgress(sql, steps);', replace: '' },
    ],
  },
  {
    name: 'durable-over-hole',
    what: 'the durable prefix of a stream passes over a batch that never came',
    faults: ['kafka.retention-passed'],
    patches: [
      {
        file: 'hub/ingest/streams.ts',
        find: 'if (from <= upTo + 1) upTo = Math.max(upTo, to);',
        replace: 'if (from > 0) upTo = Math.max(upTo, to);',
      },
    ],
  },
  {
    name: 'delete-when-sent',
    what: 'the spool deletes what was handed over, not what is durable',
    faults: ['kafka.retention-passed'],
    patches: [
      {
        file: 'probe/deliver/deliver.ts',
        find: 'plan.sent(seq, performance.now());',
        replace: 'plan.sent(seq, performance.now());\nspool.durableTo(seq);',
      },
    ],
  },
  {
    name: 'repeats-not-known',
    what: 'a batch that is there already is taken for a new one',
    faults: ['probe.kill'],
    patches: [
      {
        file: 'hub/ingest/streams.ts',
        find: 'return seq <= state.upTo || ',
        replace: 'return seq < 1 || ',
      },
    ],
  },
  {
    name: 'journal-not-read',
    what: 'a probe that comes back forgets what was acknowledged and not yet in a batch',
    faults: ['probe.kill'],
    patches: [{ file: 'probe/spool/recover.ts', find: 'pending: entries.pending,', replace: 'pending: [],' }],
  },
  {
    name: 'damage-not-said',
    what: 'what a damaged spool lost is passed over in silence',
    faults: ['probe.spool-truncated'],
    patches: [
      {
        file: 'probe/spool/open-spool.ts',
        find: "for (const loss of was.losses) pushGap({ ...loss, reason: 'spool damaged' });",
        replace: '',
      },
    ],
  },
  {
    name: 'rejects-not-counted',
    what: 'what the hub refuses is written down nowhere',
    faults: ['probe.liar'],
    patches: [
      {
        file: 'hub/store/insert-rejects.ts',
        find: 'if (rejects.length === 0) return;',
        replace: 'if (rejects.length >= 0) return;',
      },
    ],
  },
  {
    name: 'row-says-otherwise',
    what: 'a column is written with the value of its neighbour',
    faults: ['probe.kill'],
    patches: [
      {
        file: 'hub/store/insert-results.ts',
        find: 'out.int4(clampInt4(r.timings.connect));',
        replace: 'out.int4(clampInt4(r.timings.dns));',
      },
    ],
  },
  {
    name: 'policy-off',
    what: 'the probe connects wherever an endpoint points to',
    faults: ['probe.kill'],
    patches: [
      {
        file: 'probe/policy/target-policy.ts',
        find: 'refuseAddress: (address, port) =>',
        replace: 'refuseAddress: (address, port) => port >= 0 ? null :',
      },
    ],
  },
];
