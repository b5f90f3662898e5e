// The schedule under load, with nothing to check: node schedule-child.ts ENTRIES INTERVAL_SECONDS SECONDS.
import { createSteadyClock } from '../../probe/clock/steady-clock.ts';
import { startTicker } from '../../probe/run/timer.ts';
import { createSchedule, type ShardInForce } from '../../probe/schedule/schedule.ts';
import { assignmentSchema } from '../../shared/assignment.ts';
import { shardCount, shardOf } from '../../shared/slot.ts';

export interface ScheduleFigures {
  readonly fired: number;
  /** Of how late each slot was, microseconds. */
  readonly p50Us: number;
  readonly p99Us: number;
  readonly worstUs: number;
  /** Share of one core. */
  readonly cpu: number;
  readonly heapMb: number;
  /** The fullest 100 ms beside the mean one. */
  readonly peakToMean: number;
}

const [entries = '0', intervalSeconds = '30', seconds = '5'] = process.argv.slice(2);
const count = Number(entries);
const [request, expect] = [{}, {}];
const template = assignmentSchema.parse({
  id: 1,
  rev: 1,
  name: 'bench',
  url: 'https://shop.example/',
  intervalMs: Number(intervalSeconds) * 1000,
  timeoutMs: 5000,
  replicas: 1,
  retries: { count: 0, delayMs: 1000 },
  robots: 'ignore',
  changedAt: 0,
  request,
  expect,
});
const shards = Array.from(
  { length: shardCount },
  (_, shard): ShardInForce & { endpoints: (typeof template)[] } => ({
    shard,
    digest: '0'.repeat(64),
    endpoints: [],
    entries: [{ shard, digest: '0'.repeat(64), rank: 0, from: 0, until: null }],
  }),
);
for (let id = 1; id <= count; id += 1) shards[shardOf(id)]?.endpoints.push({ ...template, id });

const steady = createSteadyClock();
const startUs = Date.now() * 1000 - steady.nowUs();
const nowUs = () => startUs + steady.nowUs();
const schedule = createSchedule({ regionId: 1, floorUs: nowUs() });
schedule.put(shards, nowUs());

const lateUs: number[] = [];
const perTenth = new Map<number, number>();
let measuring = false;
const ticker = startTicker({
  schedule,
  steady,
  nowUs,
  onDue({ scheduledAtUs, missed }) {
    if (!measuring) return;
    if (missed) throw new Error('a slot was missed');
    lateUs.push(nowUs() - scheduledAtUs);
    const tenth = Math.floor(nowUs() / 100_000);
    perTenth.set(tenth, (perTenth.get(tenth) ?? 0) + 1);
  },
});
await new Promise((done) => setTimeout(done, 2000));
measuring = true;
const cpuBefore = process.cpuUsage();
await new Promise((done) => setTimeout(done, Number(seconds) * 1000));
const { user, system } = process.cpuUsage(cpuBefore);
ticker.stop();

lateUs.sort((a, b) => a - b);
// The first and the last tenth were not measured whole.
const tenths = [...perTenth.values()].slice(1, -1);
const mean = tenths.reduce((sum, each) => sum + each, 0) / tenths.length;
const figures: ScheduleFigures = {
  fired: lateUs.length,
  p50Us: lateUs[Math.floor(lateUs.length * 0.5)] ?? 0,
  p99Us: lateUs[Math.floor(lateUs.length * 0.99)] ?? 0,
  worstUs: lateUs.at(-1) ?? 0,
  cpu: (user + system) / (Number(seconds) * 1e6),
  heapMb: process.memoryUsage().heapUsed / 1e6,
  peakToMean: Math.max(...tenths) / mean,
};
process.stdout.write(`${JSON.stringify(figures)}\n`);
process.exit(0);
