import { Worker } from 'node:worker_threads';
import pino from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { type CheckWorkersSeams, startCheckWorkers } from '../../../probe/run/check-workers.ts';
import { assignmentOf } from '../checks/scene.ts';
import { startTarget } from '../start-probe.ts';

const running = new AbortController().signal;

async function workersOf(count: number, seams: CheckWorkersSeams = {}) {
  const said: string[] = [];
  const log = pino({ level: 'error' }, { write: (line) => void said.push(JSON.parse(line).msg) });
  const terms = { allowNetworks: ['127.0.0.0/8'], allowProxy: false, hubOrigins: [], env: {} };
  const checker = await startCheckWorkers(count, terms, log, seams);
  onTestFinished(() => checker.close());
  return { checker, said };
}

/** Does this to the first check that it is given, and answers those after a restart. */
function strange(deed: string) {
  let starts = 0;
  return () => {
    starts += 1;
    const answer = `port.postMessage({ done: check, measured: { observation: {}, disturbed: false } })`;
    const script = `const { parentPort: port } = require('node:worker_threads');
      port.on('message', ({ check }) => { ${starts === 1 ? deed : answer} });
      setInterval(() => port.postMessage({ noiseUs: 0 }), 20);
      port.postMessage({ ready: true });`;
    return new Worker(script, { eval: true });
  };
}

test('what was seen of a failure comes back from a thread, where it was wished for', async () => {
  const target = await startTarget();
  onTestFinished(() => target.close());
  const { checker } = await workersOf(1);
  const broken = assignmentOf(`${target.url}/x`, { expect: { status: ['404'] } });
  const asked = await checker.check(broken, running, { unless: null });
  expect(JSON.parse(asked.observation.evidence ?? '')).toMatchObject({
    response: { status: 200 },
    phase: 'transfer',
  });
  const known = await checker.check(broken, running, { unless: 'expect.status' });
  expect([known.observation.outcome, known.observation.evidence]).toEqual(['down', null]);
  expect((await checker.check(broken, running)).observation.evidence).toBeNull();
});

test('threads check, each its own endpoints', async () => {
  const target = await startTarget();
  onTestFinished(() => target.close());
  const { checker } = await workersOf(2);
  const all = [1, 2, 3, 4].map((id) => ({ ...assignmentOf(`${target.url}/${id}`), id }));
  for (let round = 0; round < 2; round += 1) {
    const seen = await Promise.all(all.map((each) => checker.check(each, running)));
    expect(seen.map(({ observation }) => observation.outcome)).toEqual(['up', 'up', 'up', 'up']);
  }
  expect([...target.hits.values()].map((hits) => hits.length)).toEqual([2, 2, 2, 2]);
});

test.each<[what: string, deed: string, says: string]>([
  ['dies', 'process.exit(3)', ''],
  ['dies of an error', 'throw new Error("x")', 'a thread that checks has died'],
  ['stands still', 'for (;;);', 'a thread that checks stands still: it is started anew'],
])('a thread that %s fails the checks that it had, and is started anew', async (_, deed, says) => {
  const { checker, said } = await workersOf(1, { start: strange(deed), lookEveryMs: 200 });
  const check = () => checker.check(assignmentOf('http://127.0.0.1:1/'), running);
  await expect(check()).rejects.toThrow('the thread of this check has died');
  await expect.poll(() => check().then(() => 'done', String), { timeout: 5000 }).toBe('done');
  expect(said).toEqual(says ? [says] : []);
});
