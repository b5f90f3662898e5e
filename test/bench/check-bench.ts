import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Blackbox, startBlackbox } from './blackbox.ts';
import type { CheckFigures, CheckSpec } from './check-child.ts';
import { startChild } from './child.ts';
import type { Driven, Load } from './load.ts';
import { cpuSeconds } from './process-figures.ts';
import { type Row, row } from './report.ts';

interface Case {
  readonly module: 'http' | 'https';
  readonly load: Load;
  /** CPU milliseconds a check (DESIGN, budgets). */
  readonly budget: number | null;
}

const saturated: Load = { atOnce: 64 };
const cases: readonly Case[] = [
  { module: 'http', load: saturated, budget: 0.14 },
  { module: 'http', load: { perSecond: 200 }, budget: null },
  { module: 'http', load: { perSecond: 500 }, budget: 0.23 },
  { module: 'https', load: saturated, budget: 0.75 },
  { module: 'https', load: { perSecond: 500 }, budget: null },
];

const file = (name: string) => join(import.meta.dirname, name);

/** CPU per check: ours, blackbox_exporter's, and what node's own client takes, in turn on the same core. */
export async function benchCheck(seconds: number, say: (line: string) => void): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-bench-'));
  const rows: Row[] = [];
  try {
    for (const { module, load, budget } of cases) {
      const target = startChild('other', process.execPath, [file('target-child.ts'), module]);
      const { url, ca } = await target.next<{ url: string; ca: string | null }>(10_000);
      const what = `${module}, ${'atOnce' in load ? 'one core saturated' : `${load.perSecond}/s`}`;
      say(what);
      try {
        const spec: CheckSpec = { url, ca, body: [], load, seconds };
        const peer = await measurePeer(folder, spec, module, say);
        const ours = await measure('parallax', spec);
        const limit = await measure('node', spec);
        const same = { bench: 'check', limit: limit.cpuMs };
        rows.push(
          row({
            ...same,
            what: `CPU a check: ${what}`,
            value: ours.cpuMs,
            unit: 'ms',
            peer: peer?.cpuMs ?? null,
            budget,
          }),
        );
        for (const [name, key] of [
          ['p50', 'p50Us'],
          ['p99', 'p99Us'],
        ] as const) {
          rows.push(
            row({
              bench: 'check',
              what: `${name} of a check: ${what}`,
              value: ours[key] / 1000,
              unit: 'ms',
              peer: peer ? peer[key] / 1000 : null,
              limit: limit[key] / 1000,
              budget: null,
            }),
          );
        }
      } finally {
        await target.stop();
      }
    }
    rows.push(await benchBodies(seconds));
    return rows;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(subject: 'parallax' | 'node', spec: CheckSpec): Promise<CheckFigures> {
  const child = startChild('measured', process.execPath, [
    file('check-child.ts'),
    subject,
    JSON.stringify(spec),
  ]);
  await child.next(30_000);
  const figures = await child.next<CheckFigures>(spec.seconds * 1000 + 60_000);
  if (figures.good < figures.done)
    throw new Error(`${subject}: ${figures.done - figures.good} of ${figures.done} checks failed`);
  return figures;
}

async function measurePeer(
  folder: string,
  { url, ca, load, seconds }: CheckSpec,
  module: 'http' | 'https',
  say: (line: string) => void,
): Promise<CheckFigures | null> {
  const blackbox: Blackbox | string = await startBlackbox(folder, ca ?? '');
  if (typeof blackbox === 'string') {
    say(blackbox);
    return null;
  }
  try {
    const args = [
      file('peer-driver.ts'),
      blackbox.urlFor(url, module),
      JSON.stringify(load),
      String(seconds),
    ];
    const driver = startChild('other', process.execPath, args);
    await driver.next(30_000);
    const before = await cpuSeconds(blackbox.child.pid);
    const driven = await driver.next<Driven>(seconds * 1000 + 60_000);
    const used = (await cpuSeconds(blackbox.child.pid)) - before;
    if (driven.good < driven.done)
      throw new Error(`blackbox_exporter: ${driven.done - driven.good} checks failed`);
    return { ...driven, cpuMs: (used * 1000) / driven.done };
  } finally {
    await blackbox.child.stop();
  }
}

/** Long bodies against a hard pattern must not move what is measured: the p99 with them, beside the p99 without. */
async function benchBodies(seconds: number): Promise<Row> {
  const target = startChild('other', process.execPath, [file('target-child.ts'), 'http', '65536']);
  try {
    const { url } = await target.next<{ url: string }>(10_000);
    const load: Load = { perSecond: 50 };
    const plain = await measure('parallax', { url, ca: null, body: [], load, seconds });
    // Nested repetition over 64 KiB: the slowest kind RE2 syntax can say.
    const hard = ['(?:p[a-z]+ ){1000}', '([a-z ]*[a-z ]*)*parallax'];
    const withPatterns = await measure('parallax', { url, ca: null, body: hard, load, seconds });
    return row({
      bench: 'check',
      what: 'p99 of a check: 64 KiB bodies, hard patterns, 50/s',
      value: withPatterns.p99Us / 1000,
      unit: 'ms',
      peer: null,
      limit: plain.p99Us / 1000,
      budget: null,
    });
  } finally {
    await target.stop();
  }
}
