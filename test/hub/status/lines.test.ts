import { describe, expect, test } from 'vitest';
import type { Replica, StatusFacts } from '../../../hub/status/facts.ts';
import { statusLines } from '../../../hub/status/lines.ts';
import type { ReplicaReport } from '../../../hub/status/replica-report.ts';
import { dayUs } from '../../../hub/store/partition-plan.ts';

const nowUs = Date.UTC(2026, 2, 10, 12) * 1000;
const gib = 1024 ** 3;

const report: ReplicaReport = {
  listen: '127.0.0.1:7070',
  bus: { kind: 'kafka', ready: true, reason: null, lag: 12, slowest: { partition: 3, lag: 9 } },
  missing: [],
  rowsASecond: 1234,
  clockSkewMs: 3,
  rssBytes: 200e6,
  pool: { total: 10, idle: 9, waiting: 0 },
  leaseTtlSeconds: 21_600,
  retentionDays: 7,
  certificates: [{ what: 'the certificate', file: '/hub.crt', endsAtMs: nowUs / 1000 + 60 * 86_400_000 }],
  disk: { path: '/data', freeBytes: 50 * gib, totalBytes: 100 * gib },
};

function replica(over: Partial<ReplicaReport> = {}, row: Partial<Replica> = {}): Replica {
  return {
    id: '1',
    host: 'a',
    pid: 1,
    version: '1.0.0',
    roles: ['api', 'ingest', 'judge', 'alert'],
    startedAt: new Date(nowUs / 1000 - 3_600_000),
    seenSecondsAgo: 2,
    report: null,
    says: { ...report, ...over },
    ...row,
  };
}

const well: StatusFacts = {
  nowUs,
  latencyMs: 0.4,
  database: {
    version: '18.4',
    sizeBytes: 5e9,
    connections: 12,
    maxConnections: 100,
    oldestTransaction: null,
    unfrozen: 1000,
    standbys: [],
  },
  replicas: [replica()],
  regions: [{ id: 1, name: 'eu-west' }],
  probes: [
    {
      id: 7,
      name: 'box',
      regionId: 1,
      status: 'active',
      createdAt: 0,
      seenAt: nowUs / 1e6 - 4,
      leaseExpiresAt: nowUs / 1e6 + 20_000,
      capacity: 100,
      networkState: null,
      networkSince: null,
      networkWhy: null,
      clockOffsetUs: null,
      noiseUs: 300,
      dropped: 0,
      spoolBytes: 2000,
      version: '1.0.0',
      runtime: 'node',
      refused: 0,
      refusedFor: null,
    },
  ],
  arrivals: { lastSecondsAgo: 1, endpoints: 10 },
  lastBatches: [{ probeId: 7, secondsAgo: 1 }],
  holes: [],
  lastingHoles: [],
  rejects: [],
  partitions: Array.from({ length: 11 }, (_, index) => {
    const fromUs = Math.floor(nowUs / dayUs) * dayUs + (index - 7) * dayUs;
    return {
      name: `results_202603${String(index + 3).padStart(2, '0')}`,
      fromUs,
      toUs: fromUs + dayUs,
      bytes: 1e8,
      rows: 1e6,
    };
  }),
  sealedUntilUs: Math.floor(nowUs / dayUs) * dayUs - 7 * dayUs,
  tables: [],
  alarms: [],
};

const bad = (over: Partial<StatusFacts>) =>
  statusLines({ ...well, ...over })
    .filter(({ level }) => level !== 'ok')
    .map(({ level, says }) => `${level}: ${says}`);

const probe = (over: Partial<StatusFacts['probes'][number]>) => ({
  probes: well.probes.map((one) => ({ ...one, ...over })),
});
const database = (over: Partial<StatusFacts['database']>) => ({ database: { ...well.database, ...over } });
const disk = (freeBytes: number) => ({
  replicas: [replica({ disk: { path: '/data', freeBytes, totalBytes: 100 * gib } })],
});
const hole = { stream: 's', probe_id: 7, probe: 'box', from_seq: 5, to_seq: 6 };
const certificate = (days: number) => ({
  replicas: [
    replica({
      certificates: [
        { what: 'the certificate', file: '/hub.crt', endsAtMs: nowUs / 1000 + days * 86_400_000 },
      ],
    }),
  ],
});

describe('what an operator is told', () => {
  test('where all is well: nothing', () => {
    expect(bad({})).toEqual([]);
    expect(statusLines(well).map(({ says }) => says)).toContain(
      'Kafka: 12 messages behind at a (127.0.0.1:7070), slowest partition 3 (9)',
    );
  });

  test.each<[string, Partial<StatusFacts>, (string | RegExp)[]]>([
    [
      'a replica is gone',
      { replicas: [replica(), replica({}, { host: 'b', seenSecondsAgo: 300 })] },
      ['act: b (127.0.0.1:7070) has said nothing for 5 min'],
    ],
    [
      'nobody stores',
      { replicas: [replica({}, { roles: ['api'] })] },
      ['act: no hub that runs has the role ingest: nothing stores results'],
    ],
    [
      'two versions',
      { replicas: [replica(), replica({}, { version: '1.1.0' })] },
      ['watch: replicas run different versions: 1.0.0 and 1.1.0'],
    ],
    [
      'it is not ready',
      { replicas: [replica({ missing: [{ what: 'partitions', why: 'there is none' }] })] },
      ['act: a (127.0.0.1:7070) is not ready: partitions: there is none'],
    ],
    [
      'its clock is off',
      { replicas: [replica({ clockSkewMs: -5000 })] },
      ["watch: the clock of a (127.0.0.1:7070) is 5 s behind the database's"],
    ],
    [
      'its clock is far off',
      { replicas: [replica({ clockSkewMs: 86_400_000 })] },
      ["act: the clock of a (127.0.0.1:7070) is 1 d ahead of the database's"],
    ],
    ['a report of another version', { replicas: [{ ...replica(), says: null }] }, []],
    [
      'Kafka is away',
      { replicas: [replica({ bus: { ...report.bus, ready: false, reason: 'not connected to Kafka yet' } })] },
      ['act: a (127.0.0.1:7070): not connected to Kafka yet'],
    ],
    [
      'it is far behind',
      { replicas: [replica({ bus: { ...report.bus, lag: 200_000 } })] },
      [/^watch: Kafka: 200,000 messages behind/],
    ],
    [
      'nothing comes in',
      { arrivals: { lastSecondsAgo: 900, endpoints: 10 } },
      [/^act: 1,234 results a second, the last 15 min ago/],
    ],
    ['connections run out', database({ connections: 95 }), ['act: 95 of 100 connections are taken']],
    [
      'a dump',
      database({ oldestTransaction: { pid: 9, name: 'pg_dump', seconds: 1200 } }),
      ['watch: pg_dump (process 9) has a transaction open for 20 min'],
    ],
    [
      'a wraparound',
      database({ unfrozen: 1_500_000_000 }),
      ['act: 1,500,000,000 transactions are not frozen'],
    ],
    [
      'a standby behind',
      database({ standbys: [{ name: 's', state: 'streaming', lagSeconds: 90 }] }),
      ['watch: standby s streaming, 1 min behind'],
    ],
    ['little disk', disk(10 * gib), ['watch: 10.0 GiB of 100.0 GiB free on the disk of /data']],
    ['no disk', disk(2 * gib), ['act: 2.0 GiB of 100.0 GiB free on the disk of /data']],
    ['nobody sees its disk', { replicas: [replica({ disk: null })] }, []],
    ['a certificate', certificate(10), ['watch: the certificate of a (127.0.0.1:7070) ends in 10 d']],
    ['a certificate soon', certificate(2), ['act: the certificate of a (127.0.0.1:7070) ends in 2 d']],
    [
      'a certificate of before',
      certificate(-2),
      ['act: the certificate of a (127.0.0.1:7070) ended 2 d ago'],
    ],
    [
      'leases of two lengths',
      { replicas: [replica(), replica({ leaseTtlSeconds: 3600 })] },
      [/^watch: replicas give leases of different lengths/],
    ],
    [
      'a probe is gone',
      probe({ seenAt: nowUs / 1e6 - 300 }),
      [/^act: not seen for up to 5 min: box/, 'act: nobody checks from eu-west'],
    ],
    ['its lease has ended', probe({ leaseExpiresAt: nowUs / 1e6 - 5 }), [/^act: the lease has ended of box/]],
    ['its spool is full', probe({ spoolBytes: 300 * 1024 ** 2 }), [/^act: up to 300 MiB wait at box/]],
    [
      'it delivers nothing',
      { ...probe({ spoolBytes: 1024 ** 2 }), lastBatches: [{ probeId: 7, secondsAgo: 400 }] },
      ['act: hold results and delivered nothing for up to 6 min: box (eu-west, 7)'],
    ],
    ['something is missing for a moment', { holes: [hole] }, ['watch: 1 hole in streams: box 5 to 6']],
    [
      'something is missing for good',
      { holes: [hole, { ...hole, stream: 'other', from_seq: 9, to_seq: 9 }], lastingHoles: [hole] },
      [
        'act: what box has under 5 to 6 is missing for longer than it takes to send it again',
        'watch: 1 hole in streams: box 9 to 9',
      ],
    ],
    ['it waits for somebody', probe({ status: 'pending' }), ['watch: wait to be approved: box (eu-west, 7)']],
    ['partitions end soon', { partitions: well.partitions.slice(0, 8) }, ['act: made for only 12 h ahead']],
    [
      'there are none',
      { partitions: well.partitions.slice(0, 7) },
      ['act: there is none for now: no result can be stored'],
    ],
    [
      'one is not dropped',
      {
        partitions: [
          {
            name: 'results_20260228',
            fromUs: nowUs - 10 * dayUs,
            toUs: nowUs - 9 * dayUs,
            bytes: 1,
            rows: 1,
          },
          ...well.partitions,
        ],
      },
      ['watch: results_20260228 has outlived retention (7 days) and is still there'],
    ],
    [
      'a table rots',
      {
        tables: [
          {
            name: 'latest_results',
            bytes: 1e9,
            indexBytes: 1e8,
            live: 1e6,
            dead: 9e5,
            hotShare: 0.4,
            vacuumedAt: null,
          },
        ],
      },
      [/^watch: latest_results: 900,000 dead rows beside 1,000,000, .* vacuumed never$/],
    ],
    [
      'an alarm',
      {
        alarms: [
          { action: 'alarm.stream_hole', subject: 'stream:x', count: 2, at: new Date(nowUs / 1000 - 60_000) },
        ],
      },
      ['watch: alarm.stream_hole: 2 times in a day, last 1 min ago (stream:x)'],
    ],
  ])('where %s', (_, over, expected) => {
    const told = bad(over);
    expect(told).toHaveLength(expected.length);
    for (const [index, one] of expected.entries()) {
      expect(told[index]).toEqual(typeof one === 'string' ? one : expect.stringMatching(one));
    }
  });

  test('that nobody looks at the disk of a database elsewhere', () => {
    const says = (over: Partial<StatusFacts>) => statusLines({ ...well, ...over }).map((line) => line.says);
    const unseen = /disk of PostgreSQL is not seen from here/;
    expect(says({ replicas: [replica({ disk: null })] })).toContainEqual(expect.stringMatching(unseen));
    expect(says({})).not.toContainEqual(expect.stringMatching(unseen));
    // Of a replica that is gone nobody knows.
    expect(says({ replicas: [] })).not.toContainEqual(expect.stringMatching(unseen));
  });

  test('each bad line says what to do', () => {
    const lines = statusLines({
      ...well,
      ...probe({ seenAt: null }),
      ...database({ connections: 99 }),
      replicas: [],
    });
    for (const { level, advice } of lines) expect(advice === null).toBe(level === 'ok');
    expect(lines.filter(({ level }) => level === 'act').length).toBeGreaterThan(3);
  });
});
