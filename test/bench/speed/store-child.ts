// The hub's own store path and nothing else: verified batches in, rows, streams, progress and latest results written.
import { setTimeout as sleep } from 'node:timers/promises';
import { storeBatches } from '../../../hub/ingest/store-batches.ts';
import type { VerifiedBatch } from '../../../hub/ingest/verify.ts';
import { openDatabase } from '../../../hub/store/database.ts';
import { insertProgress } from '../../../hub/store/seat-progress.ts';
import type { LoadOptions } from './load-turns.ts';
import { benchLog, verifiedLoad } from './verified-load.ts';

export interface StoreTask extends LoadOptions {
  readonly url: string;
  readonly seconds: number;
  /** Transactions at a time, each over partitions of its own. */
  readonly lanes: number;
  readonly maxRows: number;
}

export interface StoreFigures {
  readonly rows: number;
  readonly transactions: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

const task = JSON.parse(process.argv[2] ?? '') as StoreTask;
const db = openDatabase({ url: task.url, maxConnections: task.lanes + 1 });
const { clusterId, topic, partitions } = benchLog;
for (let partition = 0; partition < partitions; partition += 1) {
  await insertProgress(db, { clusterId, topic, partition, nextOffset: 0, topicId: null });
}
let [rows, transactions] = [0, 0];
const tell = (of: object) => process.stdout.write(`${JSON.stringify(of)}\n`);
tell({ ready: true });
const startedMs = performance.now();
const cpu = process.cpuUsage();
const untilMs = startedMs + task.seconds * 1000;
const ticker = setInterval(() => tell({ rows }), 5000);

async function runLane(lane: number): Promise<void> {
  const load = verifiedLoad(task, (partition) => partition % task.lanes === lane);
  while (performance.now() < untilMs) {
    const group: VerifiedBatch[] = [];
    for (let held = 0; held < task.maxRows; held += task.batchSize) {
      group.push(load.next().value);
    }
    const stored = await storeBatches(db, group);
    if (stored.rejects.length + stored.misplaced.length + stored.repeated > 0) {
      throw new Error(`not all was stored: ${JSON.stringify({ ...stored, rejects: stored.rejects.length })}`);
    }
    rows += stored.rows;
    transactions += 1;
  }
}

await Promise.all(Array.from({ length: task.lanes }, (_, lane) => runLane(lane)));
clearInterval(ticker);
const seconds = (performance.now() - startedMs) / 1000;
const { user, system } = process.cpuUsage(cpu);
await db.end();
await sleep(0);
const figures: StoreFigures = { rows, transactions, seconds, cpuSeconds: (user + system) / 1e6 };
tell(figures);
