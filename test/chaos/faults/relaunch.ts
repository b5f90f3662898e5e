import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../../harness/imports.ts';
import { crashMark } from '../build/crash-points.ts';
import type { ChaosNetwork } from '../network.ts';
import type { Launch, ManagedProcess } from '../process.ts';

/** What faults have changed of how a process is started; they add to each other. */
interface Changes {
  readonly preloads: Set<string>;
  readonly env: Map<string, string>;
  /** The folder of other bundles, by the folder of those it runs otherwise. */
  bundles: ((usual: string) => string) | null;
}

type Everybody = Pick<ChaosNetwork, 'postgres' | 'kafka' | 'hubs' | 'probes'>;

const changed = new WeakMap<ManagedProcess, Changes>();

export function changesOf(process: ManagedProcess): Changes {
  const known = changed.get(process) ?? { preloads: new Set(), env: new Map(), bundles: null };
  changed.set(process, known);
  return known;
}

/** Starts a process that is down, or will be, with all that faults changed of it. */
export async function startChanged(process: ManagedProcess): Promise<void> {
  await process.start((launch) => applied(launch, changesOf(process)));
}

/** Ends it, does something while it is down, and starts it again, also where that something fails. */
export async function whileDown<T>(process: ManagedProcess, work: () => Promise<T>): Promise<T> {
  await process.destroy();
  try {
    return await work();
  } finally {
    await startChanged(process);
  }
}

/** What a fault that failed left behind: everybody goes on, and runs. */
export async function startStopped({ postgres, kafka, hubs, probes }: Everybody): Promise<void> {
  for (const server of [postgres, kafka]) {
    if (server.running()) server.kill('SIGCONT');
    else await server.start();
  }
  for (const one of [...hubs, ...probes]) {
    one.kill('SIGCONT');
    await startChanged(one);
  }
}

function applied(launch: Launch, { preloads, env, bundles }: Changes): Launch {
  const imports = [...preloads].map((name) => {
    const file = join(root, `test/chaos/preload/${name}.ts`);
    return `--import=${pathToFileURL(file).href}`;
  });
  const [frontDoor = '', ...args] = launch.args;
  const usual = dirname(frontDoor);
  return {
    ...launch,
    args: [join(bundles?.(usual) ?? usual, 'parallax.js'), ...args],
    env: {
      ...launch.env,
      ...Object.fromEntries(env),
      ...(imports.length > 0 && { NODE_OPTIONS: imports.join(' ') }),
    },
  };
}

export function hasCrashPoints(bundles: string): boolean {
  return existsSync(join(bundles, crashMark));
}
