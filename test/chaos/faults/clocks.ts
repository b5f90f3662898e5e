import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Fault, FaultArea } from '../fault.ts';
import type { Shift } from '../preload/shift-clock.ts';
import type { ManagedProcess } from '../process.ts';
import type { Random } from '../random.ts';
import { changesOf, startChanged } from './relaunch.ts';

const [minute, hour, day] = [60_000, 3_600_000, 86_400_000];

const steps: readonly (readonly [words: string, offsetMs: number, driftPpm: number])[] = [
  ['an hour back', -hour, 0],
  ['an hour ahead', hour, 0],
  ['a day back', -day, 0],
  ['a day ahead', day, 0],
  ['3 minutes back', -3 * minute, 0],
  ['3 minutes ahead', 3 * minute, 0],
  ['700 ms back', -700, 0],
  // A quartz that is broken: a second in a hundred.
  ['too fast by 1%', 0, 10_000],
  ['too slow by 1%', 0, -10_000],
];

/** Steps for a hub: its clock is what slots run on, and NTP keeps it within a few minutes of the truth. */
const hubSteps = steps.filter(([, offsetMs]) => Math.abs(offsetMs) < hour);

function clockFault(
  area: FaultArea,
  of: (network: Parameters<Fault['inject']>[0]) => readonly ManagedProcess[],
  choice: typeof steps,
): Fault {
  return {
    name: `${area}.clock-moved`,
    area,
    conflicts: [`${area}.*`],
    async inject(network, random) {
      const process = random.pick(of(network));
      const file = join(network.folder, `${process.name}-clock.json`);
      await giveClock(process, file);
      const [words, offsetMs, driftPpm] = random.pick(choice);
      await setClock(file, { offsetMs, driftPpm, sinceMs: Date.now() });
      const restarted = await maybeRestart(process, random);
      return {
        detail: `the clock of ${process.name} is set ${words}${restarted}`,
        // Slots run on the hubs' time: one that is minutes ahead of the others makes results of the future.
        mayReject: area === 'hub' ? [{ probe: null, reason: 'future' }] : [],
        heal: () => setClock(file, { offsetMs: 0, driftPpm: 0, sinceMs: 0 }),
      };
    },
  };
}

/** A process gets a clock that can be moved with its next start. */
async function giveClock(process: ManagedProcess, file: string): Promise<void> {
  const { preloads, env } = changesOf(process);
  if (preloads.has('shift-clock')) return;
  await setClock(file, { offsetMs: 0, driftPpm: 0, sinceMs: 0 });
  await process.stop();
  preloads.add('shift-clock');
  env.set('PARALLAX_CHAOS_CLOCK', file);
  await startChanged(process);
  await wait(3000);
}

/** A wrong clock that a process starts with is another thing than one that goes wrong under it. */
async function maybeRestart(process: ManagedProcess, random: Random): Promise<string> {
  if (!random.chance(0.3)) return '';
  await wait(1000);
  await process.destroy();
  await startChanged(process);
  return ', and it is killed and starts with it';
}

async function setClock(file: string, shift: Shift): Promise<void> {
  await writeFile(file, JSON.stringify(shift));
}

export const clockFaults: readonly Fault[] = [
  clockFault('probe', (network) => network.probes, steps),
  clockFault('hub', (network) => network.hubs, hubSteps),
];
