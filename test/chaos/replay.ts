import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import type { WrittenRound } from './plan.ts';
import type { ChaosReport } from './run.ts';

const roundSchema = z.strictObject({
  at: z.int().min(1),
  faults: z.array(z.string()).min(1),
  holdMs: z.number().min(0),
  apartMs: z.number().min(0),
});

/** What has to be known to play a run again; also an entry of seeds.json. */
export const replaySchema = z.strictObject({
  seed: z.int().min(0),
  rate: z.number().optional(),
  /** How long to go on drawing rounds, and how many at most. */
  minutes: z.number().optional(),
  rounds: z.int().optional(),
  /** Faults of a round last so long at most. */
  longestS: z.number().optional(),
  faults: z.array(z.string()).optional(),
  /** These rounds in place of drawn ones. */
  plan: z.array(roundSchema).optional(),
  /** Why it is here. */
  why: z.string().optional(),
});

export type Replay = z.infer<typeof replaySchema>;

export async function readReplay(file: string): Promise<Replay> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw new Error(`--replay ${file}: cannot be read`);
  });
  const parsed = replaySchema.safeParse(parseJson(file, text));
  if (parsed.success) return parsed.data;
  throw new Error(`--replay ${file}: ${z.prettifyError(parsed.error)}`);
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`--replay ${file}: not JSON`);
  }
}

export function replayOf({ seed, violations, played }: ChaosReport, rate: number): Replay {
  return { seed, rate, plan: [...played].map(mutable), why: violations.map(({ what }) => what).join('; ') };
}

function mutable({ faults, ...round }: WrittenRound) {
  return { ...round, faults: [...faults] };
}

export async function writeReplay(file: string, replay: Replay): Promise<void> {
  await writeFile(file, `${JSON.stringify(replay, null, 2)}\n`);
}
