import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import type { ChaosServer } from '../servers.ts';
import { cannotMount, putOnSmallDisk } from './small-mount.ts';

interface FullServer {
  readonly area: 'postgres' | 'kafka';
  /** Below the server's folder. */
  readonly data: string;
  /** Of room: it is full within seconds. */
  readonly spareKilobytes: readonly [least: number, most: number];
}

/** The server goes on with its data on a disk that is full in no time; space is found, and nobody starts anything by hand. */
function fullFault({ area, data, spareKilobytes }: FullServer): Fault {
  return {
    name: `${area}.disk-full`,
    area,
    conflicts: [`${area}.*`, ...(area === 'postgres' ? ['hub.older-schema'] : [])],
    cannot: (network) => cannotMount(network.folder),
    async inject(network, random) {
      const server: ChaosServer = network[area];
      const path = join(await realpath(server.dataDir), data);
      const spare = random.int(...spareKilobytes);
      await server.stop();
      const disk = await putOnSmallDisk(path, spare);
      // One that finds no room to start tries again: that is the fault, and it ends with it.
      const started = server.start().catch(() => undefined);
      return {
        detail: `${area} has ${spare} KiB of disk left`,
        async heal() {
          await disk.grow();
          await started;
          await server.start();
          await wait(5000);
          await server.stop();
          await disk.putBack();
          await server.start();
        },
      };
    },
  };
}

export const fullServerFaults: readonly Fault[] = [
  fullFault({ area: 'postgres', data: 'data', spareKilobytes: [500, 20_000] }),
  fullFault({ area: 'kafka', data: 'log', spareKilobytes: [50, 2000] }),
];
