// npm run soak: a network at a steady rate, and whether anything in it grows that should not.
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startChild } from '../bench/child.ts';
import { root } from '../harness/imports.ts';
import { columns } from './columns.ts';
import { grows, type Sample, slopeOf } from './flat.ts';
import { readKept } from './kept.ts';
import { type SoakNetwork, startSoakNetwork } from './network.ts';
import { type Growth, lookAt, type Watched } from './watch.ts';

const usage = `npm run soak -- [--minutes 30] [--rate 15000] [--warm-up MINUTES]

A hub, three probes at 100 checks a second each, PostgreSQL and Kafka on this machine, and --rate signed results a second
of ten more probes that are only their batches. After the warm-up (a fifth of the time, 5 minutes at most) what hub and
probes hold (live heap, file descriptors) must be flat and the memory of every process bounded, all that was sent
must be stored, and no log may complain. In less than some 15 minutes the warming up itself is taken for growth.
Exit codes: 0 flat, 1 not, 2 wrong usage.`;

/** MB an hour and descriptors an hour that are still called flat, beyond two standard errors. */
const mostMbPerHour = 40;
const mostDescriptorsPerHour = 20;
const everyMs = 5000;
/** To collect the garbage of a process costs it a tenth of a second. */
const deepEvery = 3;
/** Stored so long after it was sent. */
const drainMs = 120_000;

interface Arguments {
  readonly minutes: number;
  readonly rate: number;
  readonly warmUpMs: number;
}

/** Or what is wrong; '' where help was asked for. */
function readArguments(): Arguments | string {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: '30' },
        rate: { type: 'string', default: '15000' },
        'warm-up': { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return '';
    const [minutes, rate] = [Number(values.minutes), Number(values.rate)];
    const warmUp = values['warm-up'] === undefined ? Math.min(5, minutes / 5) : Number(values['warm-up']);
    if (!(minutes >= 1)) return `--minutes ${values.minutes}: a number from 1 on`;
    if (!(rate >= 100)) return `--rate ${values.rate}: a number from 100 on`;
    if (!(warmUp >= 0 && warmUp < minutes)) {
      return `--warm-up ${values['warm-up']}: a number of minutes, less than --minutes`;
    }
    return { minutes, rate, warmUpMs: warmUp * 60_000 };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

let isStopped = false;

async function soak({ minutes, rate, warmUpMs }: Arguments): Promise<number> {
  const say = (line: string) => console.error(`soak: ${line}`);
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      isStopped = true;
      stopping.abort();
    });
  }
  const network = await startSoakNetwork(rate, say);
  const producer = startChild('other', process.execPath, [
    '--disable-warning=TimeoutNegativeWarning',
    `${root}/test/soak/producer-child.ts`,
    JSON.stringify(network.order),
  ]);
  try {
    let told = { produced: 0, behind: 0 };
    const hearing = (async () => {
      for (;;) told = await producer.next<typeof told>(60_000);
    })().catch((error: unknown) => (stopping.signal.aborted ? undefined : say(String(error))));
    const growths = new Map(
      network.watched.map(({ name }) => [name, { live: [], memory: [], descriptors: [] } as Growth]),
    );
    const beganMs = performance.now();
    let saidMs = 0;
    let looks = 0;
    while (performance.now() - beganMs < minutes * 60_000 && !stopping.signal.aborted) {
      await wait(everyMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      const atMs = performance.now() - beganMs;
      if (atMs < warmUpMs) continue;
      for (const watched of network.watched) {
        const into = growths.get(watched.name);
        if (into) await lookAt(watched, into, atMs, looks % deepEvery === 0);
      }
      looks += 1;
      if (atMs - saidMs < 30_000) continue;
      saidMs = atMs;
      const memory = [...growths].map(
        ([name, { memory }]) => `${name} ${memory.at(-1)?.value.toFixed(0)} MB`,
      );
      say(
        `${Math.round(atMs / 1000)} s, ${told.produced} sent (${told.behind} behind): ${memory.join(', ')}`,
      );
    }
    const interrupted = stopping.signal.aborted;
    stopping.abort();
    await producer.stop();
    await hearing;
    const left = await drain(network, told.produced);
    const bad = [...report(network.watched, growths), ...(await complaints(network))];
    if (left > 0)
      bad.push(`${left} results that were sent were not stored ${drainMs / 1000} s after the last`);
    if (told.behind > rate * 10)
      bad.push(`this machine cannot make ${rate} results a second: ${told.behind} behind at the end`);
    console.log(`\n${await readKept(network.db)}`);
    console.log(await network.status());
    if (interrupted) bad.push('it was interrupted');
    console.log(
      bad.length === 0 ? 'flat' : `not as it should be:\n${bad.map((line) => `  ${line}`).join('\n')}`,
    );
    return bad.length === 0 ? 0 : 1;
  } finally {
    stopping.abort();
    producer.process.kill('SIGKILL');
    await network.end();
  }
}

/** How many of the synthetic results are not there when it gives up. */
async function drain({ db, order }: SoakNetwork, produced: number): Promise<number> {
  const untilMs = performance.now() + drainMs;
  for (;;) {
    const { stored } = await db.one<{ stored: number }>(
      'select count(*) as stored from results where probe_id = any($1::int8[])',
      [order.probes.map(({ id }) => id)],
    );
    if (stored >= produced || performance.now() > untilMs) return produced - stored;
    await wait(2000);
  }
}

function report(watched: readonly Watched[], growths: ReadonlyMap<string, Growth>): string[] {
  const bad: string[] = [];
  const rows: string[][] = [
    [
      'process',
      ...['live MB', 'slope MB/h', '+/-'],
      ...['memory MB', 'slope MB/h', '+/-', 'most'],
      ...['descriptors', 'slope /h'],
    ],
  ];
  for (const { name, heap, bound } of watched) {
    const { live = [], memory = [], descriptors = [] } = growths.get(name) ?? {};
    const [mb, own, fds] = [slopeOf(live), slopeOf(memory), slopeOf(descriptors)];
    const [most, mostOpen] = [mostOf(memory), mostOf(descriptors)];
    if (!fds || (heap && !mb)) bad.push(`${name} was not looked at often enough: more minutes`);
    if (mb && grows(mb, mostMbPerHour))
      bad.push(`what ${name} holds grows by ${mb.perHour.toFixed(1)} MB an hour`);
    if (heap && fds && grows(fds, mostDescriptorsPerHour))
      bad.push(`descriptors of ${name} grow by ${fds.perHour.toFixed(1)} an hour`);
    if (most > bound.mb) bad.push(`${name} has ${most.toFixed(0)} MB of its own, more than ${bound.mb}`);
    if (mostOpen > bound.descriptors)
      bad.push(`${name} has ${mostOpen} descriptors open, more than ${bound.descriptors}`);
    rows.push([
      name,
      mb?.mean.toFixed(1) ?? '',
      mb?.perHour.toFixed(1) ?? '',
      mb?.error.toFixed(1) ?? '',
      own?.mean.toFixed(0) ?? '',
      own?.perHour.toFixed(1) ?? '',
      own?.error.toFixed(1) ?? '',
      most.toFixed(0),
      fds?.mean.toFixed(0) ?? '',
      fds?.perHour.toFixed(1) ?? '',
    ]);
  }
  console.log(columns(rows));
  return bad;
}

function mostOf(samples: readonly Sample[]): number {
  return samples.reduce((most, { value }) => Math.max(most, value), 0);
}

async function complaints(network: SoakNetwork): Promise<string[]> {
  const all = await network.complaints();
  return [...all].flatMap(([name, lines]) =>
    [...lines].map(([line, count]) => `log of ${name}: ${count} times: ${line}`),
  );
}

const given = readArguments();
if (typeof given === 'string') {
  if (given) console.error(`soak: ${given}; --help says what there is`);
  else console.log(usage);
  process.exitCode = given ? 2 : 0;
} else {
  process.exitCode = await soak(given).catch((error: unknown) => {
    console.error(`soak: ${isStopped ? 'interrupted' : error instanceof Error ? error.message : error}`);
    return isStopped ? 130 : 1;
  });
}
