import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Demo, prepareDemo } from '../demo/prepare.ts';
import { supervise } from '../process/supervise.ts';
import { runCommand, startChild } from './child.ts';
import type { Network } from './network.ts';
import type { Operator } from './operator.ts';

/** The demo site and its endpoints, or the file that was given: it then is all there is of this source. */
export async function startEndpoints(network: Network, operator: Operator): Promise<Demo | null> {
  const { endpoints, say } = network;
  if (endpoints === null) return startDemo(network, operator);
  await apply(network, operator, endpoints, 'up');
  await dropDemo(network, operator);
  say('endpoints', `applied ${endpoints}`);
  return null;
}

async function startDemo(network: Network, operator: Operator): Promise<Demo> {
  const { home, say, signal, components } = network;
  const demo = await prepareDemo(home.demo, Date.now());
  const site = await supervise({
    name: 'demo',
    say: (line) => say('demo', line),
    start: (stopping) =>
      startChild(
        { argv: ['demo', '--data', home.demo], env: {}, logFile: home.log('demo') },
        (waiting) => untilAnswers(`http://127.0.0.1:${demo.httpPort}/healthy`, waiting),
        AbortSignal.any([signal, stopping]),
      ),
  });
  components.push(site);
  await apply(network, operator, join(home.demo, 'endpoints.yaml'), 'demo');
  const { httpPort, httpsPort } = demo;
  say('demo', `a target site on 127.0.0.1:${httpPort} (http) and :${httpsPort} (https), checked every 5 s`);
  return demo;
}

/** A demo that no longer runs must not show as down for ever. */
async function dropDemo(network: Network, operator: Operator): Promise<void> {
  const file = join(network.home.demo, 'none.yaml');
  await writeFile(file, 'endpoints: []\n');
  await apply(network, operator, file, 'demo');
}

async function apply({ signal }: Network, { env }: Operator, file: string, source: string): Promise<void> {
  await runCommand(['endpoints', 'apply', file, '--source', source, '--prune'], env, signal);
}

async function untilAnswers(url: string, signal: AbortSignal): Promise<void> {
  const until = performance.now() + 15_000;
  while (performance.now() < until) {
    signal.throwIfAborted();
    const answer = await fetch(url, { signal: AbortSignal.timeout(1000) }).catch(() => null);
    if (answer?.ok) return;
    await sleep(50, undefined, { signal });
  }
  throw new Error(`${url} did not answer within 15 s`);
}
