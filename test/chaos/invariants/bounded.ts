import { readFileSync } from 'node:fs';
import type { ChaosNetwork } from '../network.ts';
import { type Finding, type Violation, violated } from './invariant.ts';

/** Far above what either takes at this load, far below what a leak reaches. */
const limits = { hub: 700, probe: 250, spools: 256 } as const;

export interface Meter {
  finding(): Finding;
  stop(): void;
}

/** 7. Memory and disk stay bounded whatever is down: looked at every two seconds, in MB. Sees peaks that last as long. */
export function meter(network: ChaosNetwork): Meter {
  const most = { hub: 0, probe: 0, spools: 0 };
  const over = new Set<string>();
  let looking = false;
  const note = (kind: keyof typeof limits, mb: number, who: string) => {
    most[kind] = Math.max(most[kind], mb);
    if (mb > limits[kind]) over.add(`${who}: ${Math.round(mb)} MB, over ${limits[kind]}`);
  };
  const timer = setInterval(async () => {
    if (looking) return;
    looking = true;
    for (const hub of network.hubs) note('hub', residentMb(hub.pid()), hub.name);
    for (const probe of network.probes) note('probe', residentMb(probe.pid()), probe.name);
    note('spools', (await network.spools.bytes()) / 1_048_576, 'spools');
    looking = false;
  }, 2000);
  return {
    finding() {
      const violations: Violation[] =
        over.size > 0 ? [violated('7 bounded', 'too much is held', [...over])] : [];
      return {
        violations,
        counts: {
          'hub MB': Math.round(most.hub),
          'probe MB': Math.round(most.probe),
          'spools MB': Math.round(most.spools),
        },
      };
    },
    stop: () => clearInterval(timer),
  };
}

function residentMb(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
