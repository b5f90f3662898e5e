import { execFile } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../harness/imports.ts';
import { until } from '../hub/ingest/until.ts';

const run = promisify(execFile);
const engine = ['--runtime', 'runc', '--cgroup-manager', 'cgroupfs'];

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** `podman ...`: never rejects. */
export async function podman(...args: readonly string[]): Promise<Ended> {
  try {
    const { stdout, stderr } = await run('podman', [...engine, ...args], {
      timeout: 120_000,
      maxBuffer: 2 ** 26,
    });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const {
      code,
      stdout = '',
      stderr = '',
      message,
    } = error as {
      code?: unknown;
      stdout?: string;
      stderr?: string;
      message: string;
    };
    return { code: typeof code === 'number' ? code : -1, out: stdout, err: stderr || message };
  }
}

export async function mustPodman(...args: readonly string[]): Promise<string> {
  const { code, out, err } = await podman(...args);
  if (code !== 0) throw new Error(`podman ${args.join(' ')}: ${code}\n${err}`);
  return out.trim();
}

/** Whether this machine can build and run containers; said loudly where not, and a failure with REQUIRE_CONTAINERS=1. */
export async function canHaveContainers(): Promise<boolean> {
  const missing: string[] = [];
  for (const [tool, ...args] of [
    ['podman', '--version'],
    ['buildah', '--version'],
    ['runc', '--version'],
    ['iptables', '--version'],
  ] as const) {
    await run(tool, args).catch(() => missing.push(tool));
  }
  if (process.getuid?.() !== 0) missing.push('root');
  if (missing.length === 0) return true;
  const why = `containers cannot be built and run here (missing: ${missing.join(', ')}; apt-get install buildah podman runc netavark iptables mmdebstrap)`;
  if (process.env.REQUIRE_CONTAINERS === '1') throw new Error(`REQUIRE_CONTAINERS=1, and ${why}`);
  console.warn(`\n${'#'.repeat(80)}\n# SKIPPED: the images. ${why}\n${'#'.repeat(80)}\n`);
  return false;
}

/** Both images, as `deploy/images/build.sh` builds them. */
export async function buildImages(): Promise<{ readonly probe: string; readonly hub: string }> {
  const { stdout } = await run(join(root, 'deploy/images/build.sh'), [], { timeout: 600_000 });
  console.log(stdout);
  const image = (target: string) => {
    const [, tag] = new RegExp(`^(localhost/parallax-${target}:\\S+): \\d+ MB$`, 'm').exec(stdout) ?? [];
    if (!tag) throw new Error(`no image of the ${target} was built:\n${stdout}`);
    return tag;
  };
  return { probe: image('probe'), hub: image('hub') };
}

export interface ContainerNetwork {
  readonly name: string;
  /** This machine, as its containers see it; there once the first of them runs. */
  readonly host: string;
  address(last: number): string;
  untilUp(): Promise<void>;
  remove(): Promise<void>;
}

export async function makeNetwork(): Promise<ContainerNetwork> {
  const name = `parallax-${process.pid}`;
  const address = (last: number) => `10.98.${process.pid % 250}.${last}`;
  const host = address(1);
  await mustPodman(
    'network',
    'create',
    '--disable-dns',
    '--subnet',
    `${address(0)}/24`,
    '--gateway',
    host,
    name,
  );
  return {
    name,
    host,
    address,
    untilUp: () =>
      until(
        () =>
          Object.values(networkInterfaces())
            .flat()
            .some((each) => each?.address === host),
        30_000,
      ),
    remove: async () => void (await podman('network', 'rm', '--force', name)),
  };
}

/** What a careful operator gives a container: no root, no capability, nothing to write but /data. */
const guarded = [
  ...['--read-only', '--cap-drop', 'all', '--security-opt', 'no-new-privileges'],
  ...['--ulimit', 'nproc=4096:4096'],
];

export interface ContainerOptions {
  readonly name: string;
  readonly image: string;
  readonly network: string;
  readonly flags?: readonly string[];
  readonly user?: string;
  readonly memory?: string;
  readonly files?: number;
  readonly pings?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
}

function commandLine(options: ContainerOptions): readonly string[] {
  const {
    name,
    image,
    network,
    flags = [],
    user = '65532',
    memory = '200m',
    files = 1024,
    pings = true,
    env = {},
  } = options;
  return [
    ...['run', '--name', name, '--network', network, '--user', user, ...guarded, '--memory', memory],
    ...['--ulimit', `nofile=${files}:${files}`],
    // The engine's own default lets group 0 alone.
    ...['--sysctl', `net.ipv4.ping_group_range=${pings ? '0 65534' : '1 0'}`],
    ...Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
    ...flags,
    image,
    ...(options.args ?? []),
  ];
}

export interface Container {
  readonly name: string;
  log(): Promise<string>;
  /** The program of the image itself. */
  parallax(...args: readonly string[]): Promise<Ended>;
  exec(...args: readonly string[]): Promise<Ended>;
  health(): Promise<Ended>;
  pid(): Promise<number>;
  /** SIGTERM; resolves with the exit code and how long it took. */
  stop(withinS: number): Promise<{ readonly code: number; readonly tookMs: number }>;
  kill(): Promise<void>;
  remove(): Promise<void>;
}

export async function startContainer(options: ContainerOptions): Promise<Container> {
  const { name } = options;
  const [verb = 'run', ...rest] = commandLine(options);
  await mustPodman(verb, '--detach', ...rest);
  const exitCode = async () => Number(await mustPodman('inspect', '--format', '{{.State.ExitCode}}', name));
  const exec = (...args: readonly string[]) => podman('exec', name, ...args);
  return {
    name,
    exec,
    async log() {
      const { out, err } = await podman('logs', name);
      return `${out}${err}`;
    },
    parallax: (...args) => exec('/usr/local/bin/node', '/parallax/dist/parallax.js', ...args),
    health: () => podman('healthcheck', 'run', name),
    pid: async () => Number(await mustPodman('inspect', '--format', '{{.State.Pid}}', name)),
    async stop(withinS) {
      const beganMs = performance.now();
      await mustPodman('stop', '--time', String(withinS), name);
      return { code: await exitCode(), tookMs: performance.now() - beganMs };
    },
    async kill() {
      await mustPodman('kill', '--signal', 'KILL', name);
      await mustPodman('wait', name);
    },
    remove: async () => void (await podman('rm', '--force', '--time', '0', name)),
  };
}

/** One that ends by itself. */
export async function runContainer(options: ContainerOptions): Promise<Ended> {
  const [verb = 'run', ...rest] = commandLine(options);
  return podman(verb, '--rm', ...rest);
}
