import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/**
 * A probe's own network of the kernel's: `probe` (10.N.1.2) - `gateway` (10.N.1.1, 10.N.2.1) - the world (10.N.2.2 and
 * more, in the namespace of the test itself). Needs root.
 */
export interface Namespaces {
  /** First three numbers of the world's addresses, with a dot at the end. */
  readonly world: string;
  readonly gateway: string;
  readonly probe: string;
  /** `ip` in the namespace of the probe or its gateway. */
  atProbe(...args: string[]): Promise<void>;
  atGateway(...args: string[]): Promise<void>;
  /** The command line that runs something there. */
  inside(
    which: 'probe' | 'gateway',
    command: readonly string[],
  ): readonly [file: string, args: readonly string[]];
  end(): Promise<void>;
}

const run = promisify(execFile);
const ip = async (...args: readonly string[]) => void (await run('ip', [...args]));

/** Whether this machine lets us; said loudly where not, and a failure with REQUIRE_NETNS=1. */
export async function canHaveNamespaces(): Promise<boolean> {
  const name = `parallax-try-${process.pid}`;
  try {
    await ip('netns', 'add', name);
    await ip('netns', 'del', name);
    return true;
  } catch (error) {
    const why = `no network namespace can be made here (root and iproute2 are needed): ${error}`;
    if (process.env.REQUIRE_NETNS === '1') throw new Error(`REQUIRE_NETNS=1, and ${why}`, { cause: error });
    console.warn(
      `\n${'#'.repeat(80)}\n# SKIPPED: a probe whose network is gone. ${why}\n${'#'.repeat(80)}\n`,
    );
    return false;
  }
}

const linkOf = (net: number) => `plx-net${net}`;
const peerOf = (net: number) => `plx-net${net}-peer`;
const [firstNumber, numbers] = [100, 100];

/** The second number of addresses that nobody else has: its link is made here, and only one can make it. */
async function takeNumber(): Promise<number> {
  let refused: unknown;
  for (let tried = 0; tried < numbers; tried += 1) {
    const net = firstNumber + ((process.pid + tried) % numbers);
    try {
      await ip('link', 'add', linkOf(net), 'type', 'veth', 'peer', 'name', peerOf(net));
      return net;
    } catch (error) {
      if (!/exists/.test(String(error))) throw error;
      refused = error;
    }
  }
  throw new Error(`all ${numbers} networks are taken`, { cause: refused });
}

/** `worldHosts`: last numbers of the addresses that the world has; `resolver` is one of them. */
export async function makeNamespaces(worldHosts: readonly number[], resolver: number): Promise<Namespaces> {
  const net = await takeNumber();
  const world = `10.${net}.2.`;
  const [gateway, probe] = [`10.${net}.1.1`, `10.${net}.1.2`];
  const [p, g] = [`parallax-p-${net}`, `parallax-g-${net}`];
  const link = linkOf(net);
  const etc = `/etc/netns/${p}`;
  await ip('netns', 'add', p);
  await ip('netns', 'add', g);
  await ip('link', 'add', 'up0', 'netns', p, 'type', 'veth', 'peer', 'name', 'in0', 'netns', g);
  await ip('link', 'set', peerOf(net), 'netns', g, 'name', 'out0');
  for (const [space, device, address] of [
    [p, 'up0', `${probe}/24`],
    [g, 'in0', `${gateway}/24`],
    [g, 'out0', `${world}1/24`],
  ] as const) {
    await ip('-n', space, 'addr', 'add', address, 'dev', device);
    await ip('-n', space, 'link', 'set', device, 'up');
  }
  for (const space of [p, g]) await ip('-n', space, 'link', 'set', 'lo', 'up');
  for (const host of worldHosts) await ip('addr', 'add', `${world}${host}/24`, 'dev', link);
  await ip('link', 'set', link, 'up');
  await ip('route', 'add', `10.${net}.1.0/24`, 'via', `${world}1`);
  await ip('-n', p, 'route', 'add', 'default', 'via', gateway);
  await run('ip', ['netns', 'exec', g, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
  await mkdir(etc, { recursive: true });
  await writeFile(`${etc}/resolv.conf`, `nameserver ${world}${resolver}\n`);
  return {
    world,
    gateway,
    probe,
    atProbe: (...args) => ip('-n', p, ...args),
    atGateway: (...args) => ip('-n', g, ...args),
    inside: (which, command) => ['ip', ['netns', 'exec', which === 'probe' ? p : g, ...command]],
    async end() {
      await ip('netns', 'del', p).catch(() => undefined);
      await ip('netns', 'del', g).catch(() => undefined);
      await ip('link', 'del', link).catch(() => undefined);
      await rm(etc, { recursive: true, force: true });
    },
  };
}
