import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { Command } from 'commander';
import type { Assignment } from '../../shared/assignment.ts';
import { type CliContext, Failed, jsonLine, UsageError } from '../../shared/command-line.ts';
import { type Endpoint, timeoutOf } from '../../shared/endpoint.ts';
import { fileProblemText, parseEndpointFile, validateEndpoint } from '../../shared/endpoint-document.ts';
import { readEvidence } from '../../shared/evidence.ts';
import { evidenceLines } from '../../shared/evidence-lines.ts';
import { type NetworkRule, parseNetworkRule } from '../../shared/network-rule.ts';
import type { Checker } from '../checks/check.ts';
import { type CheckerOptions, createChecker } from '../checks/registry.ts';
import { createTargetPolicy } from '../policy/target-policy.ts';
import { version } from '../version.ts';
import { drawResult } from './waterfall.ts';

interface CheckFlags {
  readonly spec?: string;
  readonly resolver?: string;
  readonly allowNetwork?: readonly NetworkRule[];
  readonly allowProxy?: true;
  readonly timeout: string;
  readonly evidence?: true;
  readonly json?: true;
}

/** So many at once: enough to be quick, few enough that they do not disturb one another's times. */
const parallel = 4;

/** `over`: a seam for tests. */
export function checkCommand(context: CliContext, over: Pick<CheckerOptions, 'openSocket'> = {}): Command {
  return new Command('check')
    .description('check a URL, or every endpoint of a file, from here and now, without a hub')
    .argument('[url]', 'what to check, with the defaults of an endpoint')
    .option('--spec FILE', 'check the endpoints of this file (YAML or JSON) as they are written there')
    .option('--resolver IP[:PORT]', "ask this DNS server in place of the machine's")
    .option(
      '--allow-network CIDR[:PORT]',
      'a private network that may be checked (repeatable)',
      (text: string, before: readonly NetworkRule[] = []) => [...before, networkRule(text)],
    )
    .option('--allow-proxy', 'endpoints of the file may name a proxy to be checked through')
    .option('--timeout DURATION', 'how long a URL may take in all', '10s')
    .option('--evidence', 'show what was seen of a failure: request, answer, certificates')
    .option('--json', 'one result a line, as JSON')
    .addHelpText(
      'after',
      `
Examples:
  parallax check https://example.com/
  parallax check http://10.0.0.5:8080/health --allow-network 10.0.0.0/8
  parallax check https://example.com/ --evidence
  parallax check --spec endpoints.yaml --json
  parallax check https://example.com/ --resolver 9.9.9.9

Exit code 0 when everything is up, 1 when something is not.`,
    )
    .action((url: string | undefined, flags: CheckFlags) => runChecks(context, url, flags, over));
}

async function runChecks(
  context: CliContext,
  url: string | undefined,
  flags: CheckFlags,
  over: Pick<CheckerOptions, 'openSocket'>,
): Promise<void> {
  const { terminal, env, signal } = context;
  if ((url === undefined) === (flags.spec === undefined))
    throw new UsageError('name a URL, or a file with --spec: one of the two');
  if (flags.resolver !== undefined && !isServer(flags.resolver))
    throw new UsageError(`--resolver ${flags.resolver}: write it as 9.9.9.9, 9.9.9.9:53 or [2620:fe::fe]:53`);
  const endpoints =
    flags.spec === undefined ? [endpointOf(url ?? '', flags.timeout)] : await readSpec(context, flags.spec);
  const checker = await createChecker({
    policy: createTargetPolicy({
      allowNetworks: flags.allowNetwork ?? [],
      allowProxy: flags.allowProxy ?? false,
      hubOrigins: [],
    }),
    env,
    version,
    dnsServer: flags.resolver,
    // Who types this is at the probe itself: a file of 500 pages of one site is no hub that aims at a victim.
    limits: { concurrent: Number.MAX_SAFE_INTEGER, perSecond: Number.MAX_SAFE_INTEGER },
    ...over,
  });
  try {
    let bad = 0;
    for await (const { endpoint, seen } of inOrder(endpoints, checker, flags.evidence ?? false, signal)) {
      const { name, url: target } = endpoint;
      if (seen.outcome !== 'up') bad += 1;
      const title = name === target ? target : `${name}  ${target}`;
      const evidence = seen.evidence === null ? null : readEvidence(seen.evidence);
      if (flags.json) {
        terminal.out(jsonLine({ name, url: target, ...seen, evidence }));
        continue;
      }
      terminal.out(drawResult(terminal, shown(title), seen, Date.now()));
      if (evidence) terminal.out(`\n${evidenceLines(terminal, evidence).join('\n')}\n`);
    }
    if (signal.aborted) throw new Failed('stopped');
    // What failed has been said already, in its place.
    if (bad > 0)
      throw new Failed(endpoints.length > 1 && !flags.json ? `${bad} of ${endpoints.length} are not up` : '');
  } finally {
    await checker.close();
  }
}

/** A few run at once; they are told in the order of the file. */
async function* inOrder(
  endpoints: readonly Endpoint[],
  checker: Checker,
  wantsEvidence: boolean,
  signal: AbortSignal,
) {
  const running: Promise<{ endpoint: Endpoint; seen: Awaited<ReturnType<Checker['check']>> }>[] = [];
  for (const [index, endpoint] of endpoints.entries()) {
    if (signal.aborted) break;
    const started = checker.check(
      assignmentOf(endpoint, index + 1),
      signal,
      wantsEvidence ? { unless: null } : null,
    );
    running.push(started.then((seen) => ({ endpoint, seen })));
    if (running.length < parallel) continue;
    const first = running.shift();
    if (first) yield await first;
  }
  for (const each of running) yield await each;
}

function endpointOf(url: string, timeout: string): Endpoint {
  // Without a scheme it is what a browser would make of it.
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? url : `https://${url}`;
  const read = validateEndpoint({ name: 'check', url: whole, timeout, interval: '1d' });
  if (!('problems' in read)) return { ...read.endpoint, name: whole };
  const [problem] = read.problems;
  throw new UsageError(
    problem?.path[0] === 'timeout' ? `--timeout: ${problem.message}` : (problem?.message ?? url),
  );
}

async function readSpec({ cwd, env, terminal }: CliContext, file: string): Promise<readonly Endpoint[]> {
  const text = await readFile(resolve(cwd, file), 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(error.code === 'ENOENT' ? `there is no file ${file}` : `${file}: ${error.message}`);
  });
  const read = parseEndpointFile(text, file, env);
  if ('problems' in read) throw new UsageError(read.problems.map(fileProblemText).join('\n'));
  const all = read.endpoints.map(({ endpoint }) => endpoint);
  const enabled = all.filter((endpoint) => endpoint.enabled);
  if (enabled.length < all.length)
    terminal.err(`left out, since not enabled: ${all.length - enabled.length}\n`);
  if (enabled.length === 0) throw new UsageError(`${file} names no enabled endpoint`);
  return enabled;
}

function assignmentOf(endpoint: Endpoint, id: number): Assignment {
  const { name, url, interval, replicas, robots, evidence, request, expect, retries } = endpoint;
  return {
    id,
    rev: 1,
    name,
    url,
    intervalMs: interval,
    timeoutMs: timeoutOf(endpoint),
    replicas,
    retries: { count: retries.count, delayMs: retries.delay },
    robots,
    // What is secret in a file that was written by hand is told by its place alone.
    evidence: { ...evidence, sealed: [] },
    changedAt: 0,
    request,
    expect,
    // Both sides are told by the same URL's scheme, which types do not follow.
  } as Assignment;
}

/** Query strings hold tokens now and then, and terminals are shared. */
const shown = (text: string) => text.replace(/\?.*$/, '?…');

function networkRule(text: string): NetworkRule {
  try {
    return parseNetworkRule(text);
  } catch (error) {
    throw new UsageError(`--allow-network: ${(error as Error).message}`);
  }
}

function isServer(text: string): boolean {
  const [, inner, port] = /^(?:\[(?<six>[^\]]+)\]|[^:]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (isIP(text) === 6) return true;
  const host = inner ?? text.replace(/:\d+$/, '');
  return (
    isIP(host) !== 0 &&
    !host.includes('%') &&
    (port === undefined || (Number(port) > 0 && Number(port) < 65_536))
  );
}
