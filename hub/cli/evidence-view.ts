import { paint, printable, type Terminal } from '../../shared/command-line.ts';
import type { Evidence } from '../../shared/evidence.ts';
import { evidenceLines } from '../../shared/evidence-lines.ts';
import type { Result } from '../../shared/result.ts';

/** As the hub tells it. */
export interface NamedEvidence {
  readonly endpoint: string;
  readonly region: string;
  readonly probe: string | null;
  readonly probeId: number;
  readonly scheduledAt: number;
  readonly evidence: Evidence;
  readonly result: Omit<Result, 'regionId' | 'evidence'> | null;
}

/** One failure as a person reads it: when and where, why, and then what went out and what came back. */
export function drawEvidence(terminal: Terminal, seen: NamedEvidence): string {
  const { region, probe, probeId, scheduledAt, evidence, result } = seen;
  const at = new Date(scheduledAt / 1000).toISOString().slice(0, 19).replace('T', ' ');
  const failure = result?.failure;
  const lines = [
    `${paint(terminal, 'bold', `${at} UTC`)}  ${printable(region)}  ${printable(probe ?? String(probeId))}`,
    ...(failure
      ? [
          `  ${paint(terminal, 'red', failure.code)}${failure.message ? `: ${printable(failure.message)}` : ''}`,
        ]
      : []),
    ...(result ? [] : ['  its result has outlived retention']),
    ...evidenceLines(terminal, evidence),
  ];
  return `${lines.join('\n')}\n`;
}
