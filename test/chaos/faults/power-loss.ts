import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import { decodeOps } from '../power/disk-op.ts';
import { readTree, writeTree } from '../power/disk-tree.ts';
import { afterPowerLoss, drawFates, stillUnderWay, tearWith } from '../power/power-loss.ts';
import { changesOf, startChanged, whileDown } from './relaunch.ts';
import { keysInTree, without } from './spool-files.ts';

/** A write whose sync is not even asked for after so long is one that nobody syncs: only a shorter one is excused. */
const graceMs = 250;

/** On a busy machine a probe takes long to start: what is pulled before it writes anything shows nothing. */
async function isAtWork(log: string, signal: AbortSignal): Promise<void> {
  const untilMs = performance.now() + 25_000;
  while (performance.now() < untilMs && !signal.aborted) {
    const { size } = await stat(log).catch(() => ({ size: 0 }));
    if (size > atWorkBytes) return;
    await wait(100);
  }
}

/** Its lock, its lease, its assignments, and the first results. */
const atWorkBytes = 60_000;

/**
 * The power of a probe's machine goes, and comes back: what no sync had confirmed is there, or not, or in part. It was
 * started anew before, with its disk recorded, and runs for a while so that something is under way.
 */
export const powerLossFault: Fault = {
  name: 'probe.power-loss',
  area: 'probe',
  // Another process in its folder, or one that is killed and comes back by itself, is not in the record.
  conflicts: ['probe.*'],
  async inject(network, random, signal) {
    const probe = random.pick(network.probes);
    const log = join(network.folder, `${probe.name}-disk.log`);
    await probe.stop();
    await rm(log, { force: true });
    const base = await readTree(probe.dataDir);
    const { preloads, env } = changesOf(probe);
    preloads.add('record-disk');
    env.set('PARALLAX_CHAOS_DISK', probe.dataDir).set('PARALLAX_CHAOS_DISK_LOG', log);
    await startChanged(probe);
    await isAtWork(log, signal);
    await wait(random.int(1500, 5000), undefined, { signal }).catch(() => undefined);

    const lose = async (endMs: number) => {
      // All that its files held, also what was not synced, has been seen.
      await network.spools.read();
      const ops = decodeOps(await readFile(log));
      const { how, fates } = drawFates(random.next);
      const whole = (bytes: Buffer) => bytes;
      const underWay = stillUnderWay(ops, endMs, graceMs);
      const at = await readTree(probe.dataDir);
      const owed = afterPowerLoss(base, ops, (op) => (underWay(op) ? 'lost' : 'kept'), whole);
      // They were written, and nobody was told so yet.
      const excused = without(keysInTree(at), keysInTree(owed));
      await writeTree(probe.dataDir, afterPowerLoss(base, ops, fates, tearWith(random.next)));
      // The files of before are read to their end for the last time; what of this survived is seen again.
      await network.spools.read();
      network.spools.forget(excused);
      return { how, calls: ops.length };
    };
    const endMs = performance.timeOrigin + performance.now();
    const { how, calls } = await whileDown(probe, () =>
      lose(endMs).finally(() => {
        preloads.delete('record-disk');
        env.delete('PARALLAX_CHAOS_DISK');
        env.delete('PARALLAX_CHAOS_DISK_LOG');
      }),
    );
    return {
      detail: `${probe.name} lost its power: of ${calls} calls of its disk what was not synced is ${how}`,
      heal: async () => undefined,
    };
  },
};
