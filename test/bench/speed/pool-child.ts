// Seals and signs batches ahead of time: while a bench runs, its producer must cost next to nothing.
import { open, rename } from 'node:fs/promises';
import { encodeBatch } from '../../../shared/batch.ts';
import { signBytes } from '../../../shared/signing.ts';
import { benchProbeKey } from '../scale/probe-key.ts';
import { type LoadOptions, loadTurns } from './load-turns.ts';
import { poolRecord } from './pool-file.ts';

export interface PoolTask extends LoadOptions {
  readonly file: string;
  readonly results: number;
}

const task = JSON.parse(process.argv[2] ?? '') as PoolTask;
const tell = (of: object) => process.stdout.write(`${JSON.stringify(of)}\n`);
const keys = new Map<number, ReturnType<typeof benchProbeKey>>();
const out = await open(`${task.file}.draft`, 'w');
let [made, bytes, toldMs] = [0, 0, performance.now()];
let waiting: Buffer[] = [];

async function write(): Promise<void> {
  if (waiting.length > 0) await out.writev(waiting);
  waiting = [];
}

for (const { share, stream, seq, results } of loadTurns(task)) {
  if (made >= task.results) break;
  const { probeId, regionId } = share;
  const key = keys.get(probeId) ?? benchProbeKey(probeId);
  keys.set(probeId, key);
  const sealedAt = results.at(-1)?.startedAt ?? task.fromUs;
  const value = encodeBatch({ probeId, regionId, stream, seq, leaseVersion: 1, sealedAt, results, gaps: [] });
  waiting.push(poolRecord(probeId, results, signBytes(key.privateKey, value), value));
  made += results.length;
  bytes += value.length;
  if (waiting.length >= 200) await write();
  if (performance.now() - toldMs < 5000) continue;
  toldMs = performance.now();
  tell({ made });
}
await write();
await out.close();
await rename(`${task.file}.draft`, task.file);
tell({ made, bytes });
