import { databaseLines, partitionLines, tableLines } from './database-lines.ts';
import type { StatusFacts } from './facts.ts';
import { busLines, hubLines, ingestLines, keyLines } from './hub-lines.ts';
import type { StatusLine } from './line.ts';
import { alarmLines, probeLines, rejectLines } from './probe-lines.ts';

/** One screen: the hub from its replicas to its probes, then what is kept. Pure. */
export function statusLines(facts: StatusFacts): StatusLine[] {
  return [
    ...hubLines(facts),
    ...databaseLines(facts),
    ...busLines(facts),
    ...ingestLines(facts),
    ...probeLines(facts),
    ...rejectLines(facts),
    ...alarmLines(facts),
    ...partitionLines(facts),
    ...tableLines(facts),
    ...keyLines(facts),
  ];
}
