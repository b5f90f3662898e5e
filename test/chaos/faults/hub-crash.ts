import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { readMigrations } from '../../../hub/store/migrations.ts';
import { root } from '../../harness/imports.ts';
import { buildWithCrashPoints } from '../build/crash-build.ts';
import { crashFolderVariable, statementsOf } from '../build/crash-point.ts';
import { type CrashPointName, crashPoints } from '../build/crash-points.ts';
import type { Fault } from '../fault.ts';
import { violated } from '../invariants/invariant.ts';
import type { ChaosNetwork } from '../network.ts';
import { type ManagedProcess, runToEnd } from '../process.ts';
import { changesOf, hasCrashPoints, startChanged } from './relaunch.ts';

const longestMs = 20_000;

/** Starts a hub from a build with crash points, which do nothing until one is armed. Returns the folder to arm them in. */
async function giveCrashPoints(network: ChaosNetwork, which: readonly ChaosNetwork['hubs'][number][]) {
  const folder = join(network.folder, 'crash');
  await mkdir(folder, { recursive: true });
  for (const hub of which) {
    const changes = changesOf(hub);
    if (changes.env.has(crashFolderVariable)) continue;
    const build = join(network.folder, 'crash-build');
    await buildWithCrashPoints(build);
    changes.env.set(crashFolderVariable, folder);
    changes.bundles = (usual) => (hasCrashPoints(usual) ? usual : build);
    await hub.stop();
    await startChanged(hub);
  }
  return folder;
}

async function hitOrNot(folder: string, point: string, signal: AbortSignal): Promise<boolean> {
  const until = performance.now() + longestMs;
  while (performance.now() < until && !signal.aborted) {
    if ((await readdir(folder)).some((name) => name.startsWith(`${point}.hit-`))) return true;
    await wait(50);
  }
  return false;
}

/** Both replicas may come by this point; whichever does first, ends there. It is started again by who watches over it. */
function crashFault(point: CrashPointName): Fault {
  return {
    name: `hub.crash.${point}`,
    area: 'hub',
    conflicts: ['hub.clock-moved', 'hub.older-schema'],
    async inject(network, random, signal) {
      const folder = await giveCrashPoints(network, network.hubs);
      const passes = random.int(0, 3);
      await forget(folder, point);
      await writeFile(join(folder, point), String(passes));
      // Shards move when a probe goes away.
      const mover = point.startsWith('shards.') ? random.pick(network.probes) : null;
      mover?.kill('SIGSTOP');
      const hit = await hitOrNot(folder, point, signal);
      return {
        detail: `a hub ${hit ? 'ended' : 'did not come by in time'} at ${point}, pass ${passes + 1}`,
        happened: hit,
        async heal() {
          mover?.kill('SIGCONT');
          await forget(folder, point);
        },
      };
    },
  };
}

async function forget(folder: string, point: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name === point || name.startsWith(`${point}.`)) await rm(join(folder, name), { force: true });
  }
}

/** The schema of the release before, and hubs that bring it up to date; one may end in the middle of it. */
const olderSchemaFault: Fault = {
  name: 'hub.older-schema',
  area: 'hub',
  conflicts: ['hub.*', 'postgres.*', 'network.*'],
  async inject(network, random, signal) {
    const folder = await giveCrashPoints(network, network.hubs);
    const points = crashPoints.filter((point) => point.startsWith('migrate.'));
    const point = random.chance(0.75) ? random.pick(points) : null;
    if (point) {
      await forget(folder, point);
      const passes = point === 'migrate.statement' ? random.int(0, (await newestStatements()) - 1) : 0;
      await writeFile(join(folder, point), String(passes));
    }
    try {
      for (const hub of network.hubs) await hub.stop();
      await migrateDown(network);
    } catch (error) {
      if (point) await forget(folder, point);
      throw error;
    } finally {
      for (const hub of network.hubs) await startChanged(hub);
    }
    const hit = point !== null && (await hitOrNot(folder, point, signal));
    return {
      detail: `hubs came back to the schema of before${point ? `, and one ${hit ? 'ended' : 'did not end'} at ${point}` : ''}`,
      heal: () => (point ? forget(folder, point) : Promise.resolve()),
    };
  },
};

async function migrateDown(network: ChaosNetwork): Promise<void> {
  const args = [join(network.bundles, 'parallax.js'), 'migrate', 'down'];
  await runToEnd({ file: process.execPath, args, env: network.env, cwd: network.folder });
}

async function newestStatements(): Promise<number> {
  const newest = (await readMigrations(join(root, 'migrations'))).at(-1);
  return newest ? statementsOf(newest.update).length : 1;
}

/** What a hub logs from this place on, until it has told what it thinks of the schema. */
async function saidOf({ logFile }: ManagedProcess, from: number, signal: AbortSignal): Promise<string> {
  const untilMs = performance.now() + 45_000;
  for (;;) {
    const said = (await readFile(logFile, 'utf8')).slice(from);
    if (verdictOf(said) !== 'does not come as far as') return said;
    if (signal.aborted || performance.now() > untilMs) return said;
    await wait(250);
  }
}

/** What a hub's log says of a schema that is newer than itself. */
export function verdictOf(said: string): 'refuses' | 'DOES NOT REFUSE' | 'does not come as far as' {
  if (said.includes('this Parallax knows up to')) return 'refuses';
  return said.includes('the hub is running') ? 'DOES NOT REFUSE' : 'does not come as far as';
}

/** A replica of the release before comes back to a schema that is newer than it: it must refuse, and harm nothing. */
const olderReleaseFault: Fault = {
  name: 'hub.older-release',
  area: 'hub',
  conflicts: ['hub.*'],
  async inject(network, random, signal) {
    const hub = random.pick(network.hubs);
    const build = join(network.folder, 'older-build');
    await buildWithCrashPoints(build, { withoutNewestMigration: true });
    const changes = changesOf(hub);
    const before = changes.bundles;
    await hub.stop();
    const from = (await readFile(hub.logFile, 'utf8')).length;
    changes.bundles = () => build;
    let said = '';
    const heal = async () => {
      await hub.stop();
      changes.bundles = before;
      await startChanged(hub);
    };
    try {
      await startChanged(hub);
      said = await saidOf(hub, from, signal);
    } catch (error) {
      await heal();
      throw error;
    }
    const verdict = verdictOf(said);
    return {
      detail: `${hub.name} is of the release before, and ${verdict} the newer schema`,
      // It may not have come so far before it was time: another fault stood in its way.
      happened: verdict !== 'does not come as far as',
      violations:
        verdict === 'DOES NOT REFUSE'
          ? [
              violated(
                '1 exactly once',
                'a hub of the release before runs on a newer schema',
                said.split('\n'),
              ),
            ]
          : [],
      heal,
    };
  },
};

export const hubFaults: readonly Fault[] = [
  ...crashPoints.filter((point) => !point.startsWith('migrate.')).map(crashFault),
  olderSchemaFault,
  olderReleaseFault,
];
