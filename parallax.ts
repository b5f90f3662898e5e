// The front door: hands a command to the hub's or the probe's bundle beside it, on the pinned Node. Nothing else.
// It is built for old Nodes too, so that a machine's own Node gets as far as the pinned one.
import { spawn } from 'node:child_process';
import { existsSync, fstatSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { isatty } from 'node:tty';
import type { CliContext } from './shared/command-line.ts';

const leastNode = 24;

/** One line a command; the bundle that knows it tells the rest with `parallax COMMAND --help`. */
const commands: Readonly<Record<string, readonly [bundle: 'hub' | 'probe', summary: string]>> = {
  up: ['hub', 'everything on this machine: database, hub, three probes, a target site (npm start)'],
  hub: ['hub', 'run the hub'],
  probe: ['probe', 'run a probe'],
  migrate: ['hub', "bring the database's schema up or down, or show where it is"],
  enroll: ['hub', 'make a token that lets a probe in'],
  probes: ['hub', 'list, compare, approve or revoke probes'],
  endpoints: ['hub', 'apply, compare, export or list what is checked'],
  check: ['probe', 'check a URL from here, now, without a hub'],
  doctor: ['probe', 'whether a probe (or `doctor hub`) would be well here, and what to do where not'],
  health: ['probe', 'whether the probe (or `health hub`) lives: for containers'],
  rejects: ['hub', 'show what was refused, of which probe and why'],
  results: ['hub', "show or follow an endpoint's results"],
  kafka: ['hub', "prepare a Kafka cluster, or mend the hub's place in its log"],
  status: ['hub', 'how everything is on one screen, and what to do'],
  keys: ['hub', "show or rotate the hub's keys"],
  secret: ['hub', 'change PARALLAX_SECRET, with hubs running on'],
  tokens: ['hub', 'make, list or revoke API tokens'],
  'sign-in': ['hub', 'make a one-time sign-in link for the dashboard'],
  audit: ['hub', 'show who changed what'],
  demo: ['hub', 'serve the bundled target site'],
  bench: ['hub', 'measure, and make loads to measure with'],
  completion: ['hub', 'shell completion'],
};

/**
 * V8 and glibc read these once, when a process starts. A young generation that is left to itself grows to 134 MB in a
 * busy probe, an old one is collected too late, and a source map takes 40 MB once the first error has a stack: with
 * PARALLAX_DEBUG a probe reads its own all the same. A hub's young generation is too small for the batches that wait
 * to be stored: with 64 MB it takes 7% less processor a result, and 50 MB more memory. kafkajs 2.2.4 asks for timers in the past, which Node 24 would
 * warn of each time.
 */
const quiet = '--disable-warning=TimeoutNegativeWarning';
const mapped = '--enable-source-maps';
const runFlags: Readonly<Record<string, readonly string[]>> = {
  hub: [quiet, mapped, '--max-semi-space-size=64'],
  probe: [
    quiet,
    '--max-semi-space-size=4',
    '--optimize-for-size',
    ...(process.env.PARALLAX_DEBUG ? [mapped] : []),
  ],
  kafka: [quiet],
  migrate: [quiet],
};
const flagsOf = (name: string) => (Object.hasOwn(runFlags, name) ? (runFlags[name] ?? []) : []);
const arenas = { MALLOC_ARENA_MAX: '2' };

const usage = `parallax COMMAND [options]

${Object.entries(commands)
  .map(([name, [, summary]]) => `  ${name.padEnd(12)}${summary}`)
  .join('\n')}

parallax COMMAND --help tells a command's options. --env-file FILE (before or after the command) reads
environment variables from a file; those that are set already stay. Exit codes: 0 ok, 1 the thing checked
or asked for failed, 2 wrong usage.`;

async function main(given: readonly string[]): Promise<number> {
  const { envFile, argv } = takeEnvFile(given);
  if (envFile !== undefined) {
    try {
      process.loadEnvFile(envFile);
    } catch (error) {
      return complain(2, `--env-file ${envFile}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const [name] = argv;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    console.log(usage);
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === '-V') {
    console.log((createRequire(import.meta.url)('../package.json') as { version: string }).version);
    return 0;
  }
  becomeFit(name);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) return complain(2, `there is no command '${name}': parallax --help lists them`);
  const isOfHub =
    command[0] === 'hub' ||
    (['doctor', 'health'].includes(name) && argv[1] === 'hub') ||
    isFromElsewhere(argv);
  const side = isOfHub ? 'hub' : 'probe';
  const bundle = new URL(`./${side}.js`, import.meta.url);
  // An image holds one of the two.
  if (!existsSync(bundle)) return complain(2, `'${name}' is of the ${side}, which is not installed here`);
  const { run } = (await import(bundle.href)) as {
    run: (argv: readonly string[], context: CliContext) => Promise<number>;
  };
  return run(argv, cliContext());
}

function cliContext(): CliContext {
  const { stdout, stderr, env } = process;
  const stopping = new AbortController();
  let firstMs = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // npm passes on what the terminal sent already: only a later one means "at once".
      if (stopping.signal.aborted && performance.now() - firstMs > 1000) process.exit(130);
      if (!stopping.signal.aborted) firstMs = performance.now();
      stopping.abort();
    });
  }
  return {
    env,
    cwd: process.cwd(),
    terminal: {
      out: (text) => void stdout.write(text),
      err: (text) => void stderr.write(text),
      ...(isFile(stdout.fd) && { log: logToFile }),
      columns: stdout.isTTY ? stdout.columns : null,
      colour: stdout.isTTY && !env.NO_COLOR,
    },
    signal: stopping.signal,
  };
}

/** Or a device that is written like one. */
function isFile(fd: number): boolean {
  const kind = fstatSync(fd);
  return !isatty(fd) && !kind.isFIFO() && !kind.isSocket();
}

let torn = false;

/** Straight: Node's own stream over a file, and pino's, end the process or themselves at the first failure. */
function logToFile(text: string): void {
  const bytes = Buffer.from(torn ? `\n${text}` : text);
  try {
    torn = writeSync(process.stdout.fd, bytes) < bytes.length;
  } catch {
    // The next line may have room.
  }
}

/** A hub or probe goes on as the same process, begun anew with its flags. */
function becomeFit(name: string): void {
  const flags = flagsOf(name).filter((flag) => !process.execArgv.includes(flag));
  if (flags.length === 0 || !process.execve) return;
  const argv = [process.execPath, ...process.execArgv, ...flags, ...process.argv.slice(1)];
  process.execve(process.execPath, argv, { ...arenas, ...process.env } as Record<string, string>);
}

/** `check --from`: by probes, which the hub asks. */
function isFromElsewhere([name, ...rest]: readonly string[]): boolean {
  return name === 'check' && rest.some((word) => /^--from(=|$)/.test(word));
}

function takeEnvFile(given: readonly string[]): { envFile: string | undefined; argv: readonly string[] } {
  const at = given.findIndex((word) => word === '--env-file' || word.startsWith('--env-file='));
  if (at < 0) return { envFile: undefined, argv: given };
  const joined = given[at]?.split('=').slice(1).join('=');
  const envFile = joined || (given[at + 1] ?? '');
  return { envFile, argv: given.toSpliced(at, joined ? 1 : 2) };
}

function complain(code: number, message: string): number {
  console.error(`parallax: ${message}`);
  return code;
}

/** Node 24 comes with npm ci, in a package a platform. */
function pinnedNode(): string | null {
  const { platform, arch } = process;
  const require = createRequire(import.meta.url);
  const file = platform === 'win32' ? 'node.exe' : 'node';
  for (const name of [
    `node-${platform === 'win32' ? 'win' : platform}-${arch}`,
    `node-bin-${platform}-${arch}`,
  ]) {
    try {
      return join(dirname(require.resolve(`${name}/package.json`)), 'bin', file);
    } catch {
      // Not this one.
    }
  }
  return null;
}

function runOnPinnedNode(): Promise<number> {
  const node = pinnedNode();
  if (!node) {
    return Promise.resolve(
      complain(
        1,
        `this is Node ${process.versions.node}, and Parallax needs ${leastNode} or newer: run npm ci where ${process.argv[1]} lies (it brings Node ${leastNode} with it), or install it`,
      ),
    );
  }
  const flags = process.argv.slice(2).flatMap(flagsOf);
  const child = spawn(node, [...process.execArgv, ...flags, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...arenas, ...process.env },
  });
  // What is sent to this process alone must reach the child. Ctrl-C has by itself: within a second twice is once.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((done) => {
    child.on('error', (error) => done(complain(1, `${node}: ${error.message}`)));
    child.on('exit', (code, signal) => done(code ?? (signal === 'SIGINT' ? 130 : 1)));
  });
}

// `parallax results x | head` ends the reader first: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.exit(complain(1, `cannot write what was asked for: ${error.message}`));
});
process.stderr.on('error', () => {
  // There is nobody left to tell.
});

const old = Number(process.versions.node.split('.')[0]) < leastNode;
process.exitCode = await (old ? runOnPinnedNode() : main(process.argv.slice(2))).catch((error: unknown) => {
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error && process.env.PARALLAX_DEBUG ? `\n${error.stack}` : '';
  return complain(1, `${message}${stack}`);
});
// A handle that somebody forgot must not keep a finished command alive.
setTimeout(() => process.exit(), 1000).unref();
