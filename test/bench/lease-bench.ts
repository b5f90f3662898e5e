import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../hub/process/port.ts';
import { treeCpuSeconds } from './process-figures.ts';
import { type Row, row } from './report.ts';
import { type Crowd, type CrowdSecond, startCrowd } from './scale/crowd.ts';
import { measureEdit } from './scale/edit.ts';
import type { HubProcess } from './scale/hub-process.ts';
import { type Network, openNetwork } from './scale/network.ts';

export interface LeaseBenchOptions {
  readonly probes: number;
  readonly endpoints: number;
  readonly regions: number;
  readonly seconds: number;
  /** Flags for the hub's Node, such as --cpu-prof. */
  readonly hubFlags?: readonly string[];
}

type Say = (line: string) => void;

/** As long as an edit may take to be in force everywhere, and the most that it may send to a region. */
const editBudgetMs = 2000;
const editBudgetBytes = 64 * 1024;
const edits = 5;
const settleWithinMs = 300_000;

/** A hub with thousands of long-polling probes: at rest, through an edit, through restarts. */
export async function benchLease(options: LeaseBenchOptions, say: Say): Promise<Row[]> {
  const size = { endpoints: options.endpoints, regions: options.regions, probes: options.probes };
  const what = `${size.probes} probes, ${size.regions} regions, ${size.endpoints} endpoints`;
  const network = await openNetwork(size, say);
  const rows: Row[] = [];
  const add = (name: string, value: number, unit: string, budget: number | null = null) => {
    rows.push(
      row({ bench: 'lease', what: `${name}: ${what}`, value, unit, peer: null, limit: null, budget }),
    );
    say(`${name}: ${value >= 100 ? Math.round(value) : value.toPrecision(3)} ${unit}`);
  };
  let hub: HubProcess | null = null;
  let crowd: Crowd | null = null;
  try {
    hub = await network.startHub(network.port, options.hubFlags);
    add('start to ready', hub.readyMs / 1000, 's');
    add('memory, ready', (await hub.figures()).rssMb, 'MB');
    crowd = startCrowd(network, [network.port], 8000);
    const before = await hub.figures();
    add(
      'all have their shards after the first start',
      (await crowd.untilSettled(size.probes, settleWithinMs)) / 1000,
      's',
    );
    const first = await hub.figures();
    add('CPU of the first start', first.cpuSeconds - before.cpuSeconds, 's');
    add('peak memory of the first start', first.peakMb, 'MB');
    await shardsAtRest(crowd, say);
    await atRest(network, hub, crowd, options.seconds, add);
    await throughEdits(network, crowd, add, say);
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      hub = await throughRestart(network, hub, crowd, { signal, hubFlags: options.hubFlags ?? [], add, say });
    }
    await throughRollingRestart(network, hub, crowd, add, say);
    return rows;
  } finally {
    await crowd?.stop();
    await hub?.stop().catch(() => undefined);
    await network.stop();
  }
}

type Add = (name: string, value: number, unit: string, budget?: number | null) => void;

/** Probes that came later took shards of those before: nothing is measured while they move. */
async function shardsAtRest(crowd: Crowd, say: Say): Promise<void> {
  say('waiting until no shard moves any more');
  for (let quiet = 0; quiet < 12; quiet += 1) {
    await sleep(1000);
    const bytes = crowd.seconds().reduce((sum, each) => sum + each.assignmentBytes, 0);
    if (bytes > 0) quiet = -1;
  }
}

async function atRest(
  network: Network,
  hub: HubProcess,
  crowd: Crowd,
  seconds: number,
  add: Add,
): Promise<void> {
  crowd.seconds();
  const [before, databaseBefore, startedMs] = [
    await hub.figures(),
    await treeCpuSeconds(network.databasePid),
    performance.now(),
  ];
  await sleep(Math.max(16, seconds) * 1000);
  const tookSeconds = (performance.now() - startedMs) / 1000;
  const after = await hub.figures();
  const told = crowd.seconds();
  const leases = told.reduce((sum, each) => sum + each.leases, 0);
  const cpu = after.cpuSeconds - before.cpuSeconds;
  const databaseCpu = (await treeCpuSeconds(network.databasePid)) - databaseBefore;
  add('at rest: leases a second', leases / tookSeconds, '/s');
  add('at rest: CPU of the hub', cpu / tookSeconds, 'cores');
  add('at rest: CPU of the hub a lease', (cpu * 1e6) / leases, 'us');
  add('at rest: CPU of the database', databaseCpu / tookSeconds, 'cores');
  add('at rest: memory of the hub', after.rssMb, 'MB');
  add('at rest: failed requests', failures(told), '');
}

async function throughEdits(network: Network, crowd: Crowd, add: Add, say: Say): Promise<void> {
  let [slowestMs, mostBytes] = [0, 0];
  for (let edit = 0; edit < edits; edit += 1) {
    const { ms, bytes, regions } = await measureEdit(network, crowd, edit);
    if (regions < network.size.regions) say(`an edit reached ${regions} of ${network.size.regions} regions`);
    slowestMs = Math.max(slowestMs, ms);
    mostBytes = Math.max(mostBytes, bytes);
    await sleep(3000);
  }
  add(`slowest of ${edits} edits in force in all regions`, slowestMs, 'ms', editBudgetMs);
  add('most bytes of an edit a region', mostBytes, 'bytes', editBudgetBytes);
}

async function throughRestart(
  network: Network,
  hub: HubProcess,
  crowd: Crowd,
  given: { signal: NodeJS.Signals; hubFlags: readonly string[]; add: Add; say: Say },
): Promise<HubProcess> {
  const { signal, hubFlags, add, say } = given;
  const name = signal === 'SIGKILL' ? 'killed and started' : 'restarted';
  crowd.seconds();
  await hub.stop(signal);
  for (const line of hub.complaints.slice(0, 5)) say(`the hub said: ${line.slice(0, 300)}`);
  crowd.order({ anew: true });
  const next = await network.startHub(hub.port, hubFlags);
  const startedMs = performance.now();
  await crowd.untilSettled(network.size.probes, settleWithinMs);
  add(`${name}: all have a lease after it is ready`, (performance.now() - startedMs) / 1000, 's');
  await sleep(10_000);
  const told = crowd.seconds();
  say(`what probes met: ${metBy(told)}`);
  const figures = await next.figures();
  add(`${name}: most answers a second`, Math.max(...told.map((each) => each.answers)), '/s');
  add(`${name}: CPU of the hub until 10 s after`, figures.cpuSeconds, 's');
  add(`${name}: peak memory`, figures.peakMb, 'MB');
  add(`${name}: answers that were refusals`, refusals(told), '');
  return next;
}

/** Two replicas; the first is replaced while the other answers, then the other. */
async function throughRollingRestart(
  network: Network,
  first: HubProcess,
  crowd: Crowd,
  add: Add,
  say: Say,
): Promise<void> {
  const { size } = network;
  const otherPort = await freePort();
  let other = await network.startHub(otherPort);
  let one = first;
  try {
    crowd.order({ ports: [one.port, other.port] });
    await sleep(10_000);
    crowd.seconds();
    const startedMs = performance.now();
    crowd.order({ ports: [other.port] });
    await one.stop();
    one = await network.startHub(first.port);
    crowd.order({ ports: [one.port] });
    await other.stop();
    other = await network.startHub(otherPort);
    crowd.order({ ports: [one.port, other.port], anew: true });
    await crowd.untilSettled(size.probes, settleWithinMs);
    add('rolling restart of two: all have a lease after', (performance.now() - startedMs) / 1000, 's');
    await sleep(2000);
    const told = crowd.seconds();
    say(`what probes met: ${metBy(told)}`);
    add('rolling restart of two: most answers a second', Math.max(...told.map((each) => each.answers)), '/s');
    add('rolling restart of two: answers that were refusals', refusals(told), '');
    add('rolling restart of two: peak memory of the second', (await other.figures()).peakMb, 'MB');
  } finally {
    await other.stop();
    if (one !== first) await one.stop();
  }
}

function failures(told: readonly CrowdSecond[]): number {
  return told.reduce(
    (sum, { errors }) => sum + Object.values(errors).reduce((all, each) => all + each, 0),
    0,
  );
}

/** What the hub itself answered: a connection that is refused while nobody listens is none. */
function refusals(told: readonly CrowdSecond[]): number {
  return told.reduce(
    (sum, { errors }) =>
      sum +
      Object.entries(errors).reduce(
        (all, [what, each]) => all + (/^(lease|assignments) /.test(what) ? each : 0),
        0,
      ),
    0,
  );
}

function metBy(told: readonly CrowdSecond[]): string {
  const sums: Record<string, number> = {};
  for (const { errors } of told) {
    for (const [what, count] of Object.entries(errors)) sums[what] = (sums[what] ?? 0) + count;
  }
  const parts = Object.entries(sums).map(([what, count]) => `${what} ${count} times`);
  return `${told.map(({ answers }) => answers).join(' ')} answers a second; ${parts.join(', ') || 'no error'}`;
}
