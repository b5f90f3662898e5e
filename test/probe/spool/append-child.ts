import { createHash, createPrivateKey } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import pino from 'pino';
import { openSpool } from '../../../probe/spool/open-spool.ts';
import { defaultSpoolLimits } from '../../../probe/spool/spool.ts';
import { decodeBatch } from '../../../shared/batch.ts';
import { identity, resultOf } from './scene.ts';

/**
 * Appends results until it is killed. Waits for one line on stdin: {dir, stream, pem, firstId, maxBytes}. Says `open`
 * on stdout, and the rest in the file `argv[2]`, where a killed process leaves it: `a ID` acknowledged,
 * `s SEQ SHA256 IDS GAPS` there is a batch, `d SEQ` the hub has all up to this one.
 */
const book = openSync(process.argv[2] ?? '', 'a');
const tell = (line: string) => writeSync(book, `${line}\n`);

process.stdin.once('data', (line) => {
  const { dir, stream, pem, firstId, maxBytes } = JSON.parse(line.toString());
  run(dir, stream, pem, firstId, maxBytes).catch((error: unknown) => {
    tell(`e ${error instanceof Error ? error.stack : error}`);
    process.exit(1);
  });
});

async function run(dir: string, stream: string, pem: string, firstId: number, maxBytes: number) {
  const sealed: number[] = [];
  const spool = await openSpool({
    dir,
    stream,
    identity: { ...identity, key: createPrivateKey(pem) },
    limits: { ...defaultSpoolLimits, maxBytes, syncMs: 1 },
    log: pino({ level: 'silent' }),
    now: () => Date.now() * 1000,
    onSealed: (seq) => sealed.push(seq),
    onDropped: () => undefined,
  });
  spool.setPace({ leaseVersion: 1, lingerMs: 4, urgentMs: 1 });
  process.stdout.write('open\n');
  const told = async (seq: number) => {
    const batch = await spool.read(seq);
    if (!batch) return;
    const { results, gaps } = decodeBatch(batch.value, batch.headers.schema);
    const hash = createHash('sha256').update(batch.value).update(batch.headers.sig).digest('hex');
    const ids = results.map(({ endpointId }) => endpointId).join(',');
    tell(`s ${seq} ${hash} ${ids || '-'} ${JSON.stringify(gaps)}`);
  };
  for (const [first, last] of spool.found()) for (let seq = first; seq <= last; seq += 1) await told(seq);
  let id = firstId;
  for (;;) {
    const some = Array.from({ length: 1 + Math.floor(Math.random() * 20) }, async () => {
      const mine = id;
      id += 1;
      await spool.add(resultOf(mine), Math.random() < 0.1);
      tell(`a ${mine}`);
    });
    await Promise.race(some);
    for (const seq of sealed.splice(0)) await told(seq);
    // Only what was told is said to be durable.
    if (Math.random() < 0.2) {
      const durable = spool.status().lastSeq - sealed.length - Math.floor(Math.random() * 6) - 2;
      tell(`d ${durable}`);
      spool.durableTo(durable);
    }
  }
}
