import type { Fault } from '../fault.ts';
import type { LinkMode } from '../link-mode.ts';
import type { ChaosNetwork } from '../network.ts';
import type { Random } from '../random.ts';

interface LinkFault {
  readonly name: string;
  /** Which links it may hit; one of them, or all of a name, is drawn. */
  readonly on: RegExp;
  readonly mode: (random: Random) => LinkMode;
  readonly words: string;
}

const anything = /./;
const http = />hub$|^front$/;

const kinds: readonly LinkFault[] = [
  { name: 'network.cut', on: anything, mode: () => ({ kind: 'cut' }), words: 'cut' },
  { name: 'network.silent', on: anything, mode: () => ({ kind: 'silent', from: 'both' }), words: 'silent' },
  {
    name: 'network.one-way',
    on: anything,
    mode: (random) => ({ kind: 'silent', from: random.chance(0.5) ? 'client' : 'server' }),
    words: 'silent in one direction',
  },
  { name: 'network.loss', on: anything, mode: () => ({ kind: 'loss', share: 0.05 }), words: '5% loss' },
  { name: 'network.delay', on: anything, mode: () => ({ kind: 'delay', ms: 2000 }), words: '2 s late' },
  {
    name: 'network.reset',
    on: anything,
    mode: () => ({ kind: 'reset', share: 0.2 }),
    words: 'reset in mid-answer',
  },
  {
    name: 'network.trickle',
    on: anything,
    mode: () => ({ kind: 'trickle', bytesPerSecond: 1 }),
    words: '1 B/s',
  },
  {
    name: 'network.echo',
    on: http,
    mode: () => ({ kind: 'echo', share: 0.3 }),
    words: 'answers doubled or old',
  },
];

/** One link, or every link of one end: what hangs on one cable. */
function drawLinks(network: ChaosNetwork, on: RegExp, random: Random): string[] {
  const names = [...network.links.keys()].filter((name) => on.test(name));
  const one = random.pick(names);
  if (!random.chance(0.3)) return [one];
  const end = one.split('>').at(random.chance(0.5) ? 0 : -1) ?? one;
  return names.filter((name) => name.split('>').includes(end));
}

export const linkFaults: readonly Fault[] = kinds.map(({ name, on, mode, words }) => ({
  name,
  area: 'network',
  conflicts: ['network.*'],
  async inject(network, random) {
    const names = drawLinks(network, on, random);
    const drawn = mode(random);
    for (const each of names) network.links.get(each)?.set(drawn);
    return {
      detail: `${names.join(', ')}: ${words}`,
      async heal() {
        for (const each of names) network.links.get(each)?.set({ kind: 'pass' });
      },
    };
  },
}));

/** Each replica with half of the others: one has the database, the other has Kafka. */
export const replicasApart: Fault = {
  name: 'hub.partitioned',
  area: 'hub',
  conflicts: ['network.*'],
  async inject(network, random) {
    const [first, second] = random.shuffle(['hub-1', 'hub-2']);
    const cut = [`${first}>postgres`, `${second}>kafka`];
    for (const name of cut) network.links.get(name)?.set({ kind: 'silent', from: 'both' });
    return {
      detail: `${cut.join(' and ')} silent`,
      async heal() {
        for (const name of cut) network.links.get(name)?.set({ kind: 'pass' });
      },
    };
  },
};
