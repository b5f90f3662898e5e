import { setTimeout as wait } from 'node:timers/promises';
import type { Checker } from './check.ts';
import { liesRefused } from './invariants/region.ts';
import type { ChaosNetwork } from './network.ts';

export interface Recovery {
  readonly recovered: boolean;
  readonly tookMs: number;
  /** What was still missing at the deadline. */
  readonly missing: readonly string[];
}

/** Of results that travel while all is well. */
const freshMs = 12_000;

/**
 * 8. A backlog drains by itself when the fault heals. Waits until everything that was acknowledged before `healedMs` is
 * stored, or told as lost, and every probe delivers what it checks now. Nobody helps it along.
 */
export async function recovers(
  network: ChaosNetwork,
  checker: Checker,
  healedMs: number,
  destroyed: ReadonlySet<string>,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<Recovery> {
  const beganMs = performance.now();
  for (;;) {
    const missing = await missingNow(network, checker, healedMs, destroyed).catch((error: unknown) => [
      `PostgreSQL does not answer: ${error instanceof Error ? error.message : error}`,
    ]);
    const tookMs = performance.now() - beganMs;
    if (missing.length === 0) return { recovered: true, tookMs, missing };
    if (tookMs > deadlineMs || signal.aborted) return { recovered: false, tookMs, missing };
    await wait(500);
  }
}

async function missingNow(
  network: ChaosNetwork,
  checker: Checker,
  healedMs: number,
  destroyed: ReadonlySet<string>,
): Promise<string[]> {
  const { acknowledged, stored, vanished, spokenFor } = await checker.look();
  const missing: string[] = [];
  if (vanished > 0) missing.push(`${vanished} rows that were stored before`);
  const { sent, refused } = await liesRefused(network);
  if (refused < sent) missing.push(`${sent - refused} of ${sent} lies are not refused yet`);
  const newest = new Map<number, number>();
  for (const one of acknowledged.values()) {
    const { key, stream, seq, scheduledAt } = one;
    const probeId = Number(key.split('|')[3]);
    if (stored.has(key)) newest.set(probeId, Math.max(newest.get(probeId) ?? 0, scheduledAt / 1000));
    else if (scheduledAt / 1000 <= healedMs && !destroyed.has(key) && !spokenFor(one)) {
      missing.push(`${key} of stream ${stream}, seq ${seq ?? 'none yet'}`);
    }
  }
  const probes = await network
    .db()
    .many<{ id: number; name: string }>(
      "select id, name from probes where status = 'active' and name <> 'liar' and name not like 'guest-%'",
    );
  for (const { id, name } of probes) {
    const agoMs = Date.now() - (newest.get(id) ?? 0);
    if (agoMs > freshMs) {
      missing.push(`probe ${name}: its newest result is ${Math.round(agoMs / 1000)} s old`);
    }
  }
  return missing;
}
