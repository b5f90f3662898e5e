import { setTimeout as wait } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import { type ChaosNetwork, regions } from '../network.ts';
import { manage } from '../process.ts';
import type { Random } from '../random.ts';

interface Victim {
  readonly name: string;
  pid(): number;
  kill(signal: NodeJS.Signals): void;
}

type Pick = (network: ChaosNetwork, random: Random) => readonly Victim[];

const oneOf =
  (of: (network: ChaosNetwork) => readonly Victim[], all = 0.2): Pick =>
  (network, random) => {
    const victims = of(network);
    return random.chance(all) ? victims : [random.pick(victims)];
  };

const areas = [
  ['probe', oneOf((network) => network.probes)],
  ['hub', oneOf((network) => network.hubs)],
  ['postgres', oneOf((network) => [network.postgres])],
  ['kafka', oneOf((network) => [network.kafka])],
] as const;

/** kill -9; who watches over it starts it again. */
export const killFaults: readonly Fault[] = areas.map(([area, pick]) => ({
  name: `${area}.kill`,
  area,
  async inject(network, random) {
    const victims = pick(network, random);
    for (const victim of victims) victim.kill('SIGKILL');
    return {
      detail: `kill -9 of ${victims.map(({ name }) => name).join(', ')}`,
      heal: async () => undefined,
    };
  },
}));

/** Stands still for the fault's length, and goes on as if nothing had been. */
export const stopFaults: readonly Fault[] = areas.map(([area, pick]) => ({
  name: area === 'kafka' ? 'kafka.leader-paused' : `${area}.stopped`,
  area,
  async inject(network, random) {
    const victims = pick(network, random);
    const pids = victims.map((victim) => victim.pid()).filter((pid) => pid > 0);
    // PostgreSQL's backends are processes of their own: all of the server stands still.
    const groups = area === 'postgres';
    const send = (signal: NodeJS.Signals) => {
      for (const pid of pids) {
        try {
          process.kill(groups ? -pid : pid, signal);
        } catch {
          // Something else ended it.
        }
      }
    };
    send('SIGSTOP');
    return {
      detail: `SIGSTOP of ${victims.map(({ name }) => name).join(', ')}`,
      heal: async () => send('SIGCONT'),
    };
  },
}));

/** Ends it as an operator does, and it is gone for a while. */
export const restartFaults: readonly Fault[] = (['postgres', 'kafka'] as const).map((area) => ({
  name: `${area}.restarted`,
  area,
  conflicts: [`${area}.*`],
  async inject(network) {
    await network[area].stop();
    return { detail: `${area} stopped cleanly`, heal: () => network[area].start() };
  },
}));

/** A second process is started on a probe's folder: it must see that it is not alone. */
export const twoOnOneFolder: Fault = {
  name: 'probe.two-on-one-folder',
  area: 'probe',
  async inject(network, random) {
    const probe = random.pick(network.probes);
    const second = await manage({
      name: `${probe.name}-second`,
      logFile: `${probe.logFile}.second`,
      random,
      launch: () => probe.launch(),
    });
    await second.start();
    return {
      detail: `a second process on the folder of ${probe.name}`,
      async heal() {
        await second.stop();
      },
    };
  },
};

let guests = 0;

/**
 * One more probe joins a region, works for a while, and is revoked. It must stop, and nothing that it checks afterwards
 * may be stored; what lies in its spool by then is nobody's any more.
 */
export const revokedFault: Fault = {
  name: 'probe.revoked',
  area: 'probe',
  async inject(network, random, signal) {
    guests += 1;
    const name = `guest-${guests}`;
    const guest = await network.guest(random.pick(regions), name);
    await guest.start();
    await wait(random.int(6000, 12_000), undefined, { signal });
    const id = async () =>
      (await network.db().maybeOne<{ id: number }>('select id from probes where name = $1::text', [name]))
        ?.id;
    const probeId = await id();
    if (probeId !== undefined) {
      await network.cli(['probes', 'revoke', String(probeId), '--reason', 'chaos']);
    }
    return {
      detail:
        probeId === undefined ? `${guest.name} never came to enroll` : `${guest.name} joined and is revoked`,
      mayReject: [{ probe: guest.name, reason: 'probe_revoked' }],
      heal: () => guest.destroy(),
      async destroyed() {
        const keys = [...(await network.spools.read()).keys()];
        return new Set(keys.filter((key) => Number(key.split('|')[3]) === probeId));
      },
    };
  },
};

/** Lies onto the topic while others work: a real key, a false region; a true name, a false signature. */
export const liarFault: Fault = {
  name: 'probe.liar',
  area: 'probe',
  async inject(network, random, signal) {
    let stopped = false;
    const lying = (async () => {
      while (!stopped && !signal.aborted) {
        await network.lie(random).catch(() => undefined);
        await wait(random.int(200, 800));
      }
    })();
    return {
      detail: 'an enrolled probe lies: region, endpoint, time, and in the name of another',
      async heal() {
        stopped = true;
        await lying;
      },
    };
  },
};
