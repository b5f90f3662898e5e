import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import type { ChaosProbe } from '../network.ts';
import type { Random } from '../random.ts';
import { changesOf, startChanged, whileDown } from './relaunch.ts';
import { isSpoilt, keysInFolder, placesInFolder, seenToBeGone, segmentsIn, without } from './spool-files.ts';

/** A new file in its place: whoever has another name for the old one keeps what it held. */
async function replace(file: string, content: Uint8Array): Promise<void> {
  await rm(file);
  await writeFile(file, content, { mode: 0o600 });
}

function damaged(content: Buffer, kind: 'truncated' | 'flipped', random: Random): Buffer {
  if (kind === 'truncated') return content.subarray(0, random.int(0, Math.max(0, content.length - 1)));
  const flipped = Buffer.from(content);
  const at = random.int(0, flipped.length - 1);
  flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << random.int(0, 7)), at);
  return flipped;
}

/** The probe is down, a file of its spool is spoilt, it comes back: it must say in a gap record what it lost. */
function damageFault(name: string, kind: 'truncated' | 'flipped'): Fault {
  return {
    name,
    area: 'probe',
    conflicts: ['probe.*'],
    async inject(network, random) {
      const probe = random.pick(network.probes);
      const spool = join(probe.dataDir, 'spool');
      const { file, gone, toBeTold } = await whileDown(probe, async () => {
        await network.spools.read();
        const before = await placesInFolder(spool);
        const file = random.pick(await heldSegments(spool));
        const content = await readFile(join(spool, file));
        const left = damaged(content, kind, random);
        await replace(join(spool, file), left);
        const after = await placesInFolder(spool);
        const gone = without(new Set(before.keys()), new Set(after.keys()));
        return { file, gone, toBeTold: seenToBeGone(gone, before, after, isSpoilt(file, left)) };
      });
      return {
        detail: `${probe.name}: ${file} ${kind}, ${gone.size} results in it are gone, ${toBeTold.size} of them to be told of`,
        toBeTold,
        // Its journal may still hold what the spoilt batch held: it goes out again, and is recognised slot by slot.
        mayReject: [{ probe: probe.name, reason: 'duplicate_slot' }],
        heal: async () => undefined,
        destroyed: async () => gone,
      };
    },
  };
}

/** Those with something in them. */
async function heldSegments(spool: string): Promise<string[]> {
  const held: string[] = [];
  for (const name of await segmentsIn(spool)) {
    if ((await readFile(join(spool, name))).length > 0) held.push(name);
  }
  return held;
}

/** Its folder is put back from a copy a few seconds old, as a restored machine has it. */
const restoredFault: Fault = {
  name: 'probe.spool-restored',
  area: 'probe',
  conflicts: ['probe.*'],
  async inject(network, random, signal) {
    const probe = random.pick(network.probes);
    const copy = join(network.folder, `${probe.name}-copy`);
    await copySpool(probe, copy);
    await wait(random.int(2000, 6000), undefined, { signal }).catch(() => undefined);
    const spool = join(probe.dataDir, 'spool');
    const gone = await whileDown(probe, async () => {
      await network.spools.read();
      const before = await keysInFolder(spool);
      await rm(spool, { recursive: true });
      await cp(copy, spool, { recursive: true });
      await rm(copy, { recursive: true });
      return without(before, await keysInFolder(spool));
    });
    return {
      detail: `${probe.name}: its spool is the one of seconds ago, ${gone.size} results are gone`,
      // What was in its journal then was sent since, and goes out again in a new stream.
      mayReject: [{ probe: probe.name, reason: 'duplicate_slot' }],
      heal: async () => undefined,
      destroyed: async () => gone,
    };
  },
};

/** The process stands still meanwhile: a copy of what changes is no copy. */
async function copySpool(probe: ChaosProbe, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  probe.kill('SIGSTOP');
  try {
    await cp(join(probe.dataDir, 'spool'), to, { recursive: true });
  } finally {
    probe.kill('SIGCONT');
  }
}

/** Its disk takes nothing for a while. */
const diskFullFault: Fault = {
  name: 'probe.disk-full',
  area: 'probe',
  conflicts: ['probe.*'],
  async inject(network, random) {
    const probe = random.pick(network.probes);
    const flag = join(network.folder, `${probe.name}-disk-is-full`);
    const { preloads, env } = changesOf(probe);
    if (!preloads.has('fill-disk')) {
      await probe.stop();
      preloads.add('fill-disk');
      env.set('PARALLAX_CHAOS_FULL', probe.dataDir).set('PARALLAX_CHAOS_FULL_WHILE', flag);
      await startChanged(probe);
      await wait(3000);
    }
    await writeFile(flag, '');
    return {
      detail: `the disk of ${probe.name} is full`,
      heal: () => rm(flag, { force: true }),
    };
  },
};

export const spoolFaults: readonly Fault[] = [
  damageFault('probe.spool-truncated', 'truncated'),
  damageFault('probe.spool-flipped', 'flipped'),
  restoredFault,
  diskFullFault,
];
