import { afterEach, beforeEach, expect, test } from 'vitest';
import { startHoleWatch } from '../../../hub/ingest/hole-watch.ts';
import { batchOf, makeScene, newStream, quiet, type Scene, seal, type TestProbe } from './scene.ts';

let scene: Scene;
let probe: TestProbe;
let nowMs = 0;
let counted: number[] = [];
let warned: string[] = [];

beforeEach(async () => {
  scene = await makeScene();
  probe = await scene.probe('eu-west');
  nowMs = 0;
  counted = [];
  warned = [];
});
afterEach(() => scene.end());

const stop = new AbortController().signal;
const send = (stream: string, seq: number) =>
  scene.ingest.handle([{ ...seal(probe, batchOf(probe, { stream, seq })), position: null }], stop);

function watch() {
  const warn = (_: unknown, message: string) => void warned.push(message);
  return startHoleWatch({
    db: scene.db,
    log: Object.assign(Object.create(quiet) as typeof quiet, { warn }),
    metrics: { holes: (count) => void counted.push(count) },
    nowMs: () => nowMs,
    everyMs: null,
  });
}

const alarms = () =>
  scene.db.many<{ subject: string; after: object }>(
    "select subject, after from audit_log where action = 'alarm.stream_hole' order by id",
  );

test('a hole that does not close in ten minutes raises one alarm, over replicas and restarts', async () => {
  const stream = newStream();
  await send(stream, 1);
  await send(stream, 4);
  const [one, other] = [watch(), watch()];
  for (const each of [one, other]) await each.look();
  nowMs = 599_000;
  for (const each of [one, other]) await each.look();
  expect(await alarms()).toEqual([]);
  nowMs = 600_000;
  for (const each of [one, other, one, watch()]) await each.look();
  expect(await alarms()).toEqual([
    { subject: `stream:${stream}`, after: { probeId: probe.id, probe: 'test', fromSeq: 2, toSeq: 3 } },
  ]);
  expect(warned).toEqual([expect.stringMatching(/^batches 2 to 3 of a probe did not come/)]);
  expect(counted.at(-2)).toBe(1);
  // One that began anew knows nothing of it for ten minutes, and then that it was told.
  const anew = watch();
  await anew.look();
  nowMs += 600_000;
  await anew.look();
  expect(await alarms()).toHaveLength(1);
});

test('a hole that closes, or moves on, is no old one', async () => {
  const stream = newStream();
  await send(stream, 2);
  const watching = watch();
  await watching.look();
  nowMs = 300_000;
  await send(stream, 1);
  await send(stream, 5);
  await watching.look();
  nowMs = 700_000;
  await watching.look();
  expect([await alarms(), counted]).toEqual([[], [0, 0, 0]]);
  nowMs = 900_000;
  await watching.look();
  expect((await alarms()).map(({ after }) => after)).toMatchObject([{ fromSeq: 3, toSeq: 4 }]);
  await send(stream, 3);
  await send(stream, 4);
  await watching.look();
  expect(counted.at(-1)).toBe(0);
});

test('two streams of a probe are two alarms; those of a revoked probe are none', async () => {
  const [a, b] = [newStream(), newStream()].sort();
  await send(a ?? '', 2);
  await send(b ?? '', 2);
  const watching = watch();
  await watching.look();
  nowMs = 600_000;
  await watching.look();
  expect((await alarms()).map(({ subject }) => subject)).toEqual([`stream:${a}`, `stream:${b}`]);
  await scene.db.run("update probes set status = 'revoked'");
  await watching.look();
  expect(counted.at(-1)).toBe(0);
});
