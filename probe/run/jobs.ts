import type { LeaseClaims } from '../../shared/lease.ts';
import { nextSlot, phaseOf } from '../../shared/slot.ts';
import type { Schedule } from '../schedule/schedule.ts';
import type { Task } from './runner.ts';

/** Checks asked for once. A lease may repeat a job: it is run once. */
export interface Jobs {
  take(jobs: LeaseClaims['jobs']): void;
}

export interface JobsOptions {
  readonly regionId: number;
  readonly schedule: Pick<Schedule, 'assignment'>;
  readonly run: (task: Task) => void;
}

/** A lease has a thousand at most: what was seen in the last few is remembered. */
const mostRemembered = 4000;

export function createJobs({ regionId, schedule, run }: JobsOptions): Jobs {
  const seen = new Set<string>();
  return {
    take(jobs) {
      for (const { kind, endpointId, scheduledAt } of jobs) {
        const id = `${kind}|${endpointId}|${scheduledAt}`;
        const assignment = schedule.assignment(endpointId);
        // Not (or not yet) this probe's: the hub asks another, or again.
        if (!assignment || seen.has(id)) continue;
        if (seen.size >= mostRemembered) seen.delete(seen.values().next().value ?? '');
        seen.add(id);
        const intervalUs = assignment.intervalMs * 1000;
        const nextUs = nextSlot(scheduledAt, intervalUs, phaseOf(endpointId, regionId, intervalUs));
        run({ assignment, kind, scheduledAtUs: scheduledAt, nextUs });
      }
    },
  };
}
