import { setTimeout as wait } from 'node:timers/promises';
import { Failed } from '../../shared/command-line.ts';
import type { Result } from '../../shared/result.ts';
import type { ShardInForce } from '../schedule/schedule.ts';
import type { Runner, Task } from './runner.ts';

/** `--once`: everything that is assigned, one time. */
export interface Once {
  /** Runs them, the first time; resolves with true when the last has ended, or `signal` aborts. */
  run(shards: readonly ShardInForce[], signal: AbortSignal): Promise<boolean>;
  isBegun(): boolean;
  observe(result: Result): void;
  /** Throws Failed where something was down, was not checked, or was not delivered. */
  conclude(delivered: boolean, trouble: string | null): void;
}

const lookEveryMs = 25;

export function createOnce(runner: Runner, nowUs: () => number, mostAtOnce: number): Once {
  const counts = { up: 0, degraded: 0, down: 0, skipped: 0 };
  let due = 0;
  let begun = false;
  return {
    isBegun: () => begun,
    async run(shards, signal) {
      if (begun) return false;
      begun = true;
      const tasks = shards.flatMap(({ endpoints, entries }) =>
        endpoints
          .filter(({ replicas }) => entries.some(({ rank }) => replicas > rank))
          .map((assignment): Task => {
            const scheduledAtUs = nowUs();
            return {
              assignment,
              kind: 'extra',
              scheduledAtUs,
              nextUs: scheduledAtUs + assignment.intervalMs * 1000,
            };
          }),
      );
      due = tasks.length;
      for (const task of tasks) {
        while (runner.running() >= mostAtOnce && !signal.aborted) await wait(lookEveryMs);
        if (signal.aborted) return true;
        runner.run({ ...task, scheduledAtUs: nowUs() });
      }
      while (runner.running() + runner.waiting() > 0 && !signal.aborted) await wait(lookEveryMs);
      return true;
    },
    observe: ({ outcome }) => {
      counts[outcome] += 1;
    },
    conclude(delivered, trouble) {
      const { up, degraded, down, skipped } = counts;
      const done = up + degraded + down;
      const said = `${done} of ${due} checked: ${up} up, ${degraded} degraded, ${down} down`;
      const undone = skipped > 0 ? `, ${skipped} not run by limits or the policy of this probe` : '';
      if (due === 0)
        throw new Failed(`nothing was checked: ${trouble ?? 'the hub assigns nothing to this probe'}`);
      if (!delivered)
        throw new Failed(`${said}${undone}; not all could be delivered: what is left goes with the next run`);
      if (down > 0 || done < due) throw new Failed(`${said}${undone}`);
    },
  };
}
