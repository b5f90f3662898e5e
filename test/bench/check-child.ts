// Runs checks and tells what they cost: node check-child.ts parallax|node SPEC. The whole process is counted, its
// threads and its collector included. One line of JSON when it is warm, one at the end.
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createSecureContext } from 'node:tls';
import { createChecker } from '../../probe/checks/registry.ts';
import { createTargetPolicy } from '../../probe/policy/target-policy.ts';
import { type Assignment, assignmentSchema } from '../../shared/assignment.ts';
import { parseNetworkRule } from '../../shared/network-rule.ts';
import { type Done, drive, type Load } from './load.ts';

export interface CheckSpec {
  readonly url: string;
  /** PEM to trust, where it is https. */
  readonly ca: string | null;
  readonly body: readonly string[];
  readonly load: Load;
  readonly seconds: number;
}

export interface CheckFigures {
  readonly done: number;
  readonly good: number;
  /** CPU milliseconds a check, user and system. */
  readonly cpuMs: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** As many endpoints as a small probe has, so that nothing is measured that works for one alone. */
const endpoints = 1000;

const [subject = '', text = '{}'] = process.argv.slice(2);
const spec = JSON.parse(text) as CheckSpec;
const once = subject === 'parallax' ? await parallax(spec) : rawNode(spec);

await drive({ atOnce: 32 }, 2, once);
process.stdout.write(`${JSON.stringify({ warm: true })}\n`);
const before = process.cpuUsage();
const driven = await drive(spec.load, spec.seconds, once);
const { user, system } = process.cpuUsage(before);
const figures: CheckFigures = { ...driven, cpuMs: (user + system) / 1000 / driven.done };
process.stdout.write(`${JSON.stringify(figures)}\n`);
process.exit(0);

async function parallax({ url, ca, body }: CheckSpec): Promise<() => Promise<Done>> {
  const checker = await createChecker({
    policy: createTargetPolicy({
      allowNetworks: [parseNetworkRule('127.0.0.0/8')],
      allowProxy: false,
      hubOrigins: [],
    }),
    env: {},
    version: 'bench',
    // One target stands for thousands here.
    limits: { concurrent: 100_000, perSecond: 1_000_000_000 },
  });
  const assignments = Array.from(
    { length: endpoints },
    (_, index): Assignment =>
      assignmentSchema.parse({
        id: index + 1,
        rev: 1,
        name: `endpoint ${index}`,
        url: `${url}${index}`,
        intervalMs: 30_000,
        timeoutMs: 5000,
        replicas: 1,
        retries: { count: 0, delayMs: 1000 },
        robots: 'ignore',
        changedAt: 0,
        request: ca === null ? {} : { tls: { ca } },
        expect: { body: { matches: body } },
      }),
  );
  const forever = new AbortController().signal;
  let turn = 0;
  return async () => {
    const assignment = assignments[turn++ % endpoints] as Assignment;
    const { outcome, failure, timings } = await checker.check(assignment, forever);
    // A pattern past its CPU cap is no failure of the target: with hard ones that is what is to happen.
    const good = outcome === 'up' || failure?.code === 'probe.saturated';
    return { good, tookUs: timings.total };
  };
}

/** The least there is: node's own client, a connection each, the answer read and thrown away. */
function rawNode({ url, ca }: CheckSpec): () => Promise<Done> {
  const send = ca === null ? httpRequest : httpsRequest;
  const secureContext = ca === null ? undefined : createSecureContext({ ca });
  const options = { agent: false, secureContext, ecdhCurve: 'X25519:P-256:P-384' };
  return () =>
    new Promise((resolve) => {
      const beganMs = performance.now();
      const done = (good: boolean) => resolve({ good, tookUs: (performance.now() - beganMs) * 1000 });
      const asked = send(url, options, (answer) => {
        answer.resume();
        answer.once('end', () => done(answer.statusCode === 200));
      });
      asked.once('error', () => done(false));
      asked.end();
    });
}
