import { setTimeout as sleep } from 'node:timers/promises';
import type { Crowd } from './crowd.ts';
import type { Network } from './network.ts';

export interface EditFigures {
  /** Until its shard's owner in the last of the regions had fetched it; Infinity where one never did. */
  readonly ms: number;
  /** The most that a region's owner had to fetch: lease, manifest and shard. */
  readonly bytes: number;
  readonly regions: number;
}

const withinMs = 30_000;

/** Edits one endpoint by the API; `turn` names another endpoint and another change each time. */
export async function measureEdit(network: Network, crowd: Crowd, turn: number): Promise<EditFigures> {
  const { size, publicUrl, token } = network;
  crowd.order({ telling: true });
  await sleep(500);
  crowd.shards();
  const id = 1 + ((turn * 7919) % size.endpoints);
  const atMs = performance.timeOrigin + performance.now();
  const answer = await fetch(`${publicUrl}/api/v1/endpoints/${id}`, {
    method: 'PATCH',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/merge-patch+json',
      'if-match': '*',
    },
    body: JSON.stringify({ interval: `${61 + turn}s` }),
  });
  if (!answer.ok) throw new Error(`the edit was refused: ${answer.status} ${await answer.text()}`);
  const byRegion = new Map<number, { ms: number; bytes: number }>();
  const wanted = Math.min(size.regions, size.probes);
  const deadline = performance.now() + withinMs;
  while (byRegion.size < wanted && performance.now() < deadline) {
    await sleep(20);
    for (const { region, atMs: fetchedMs, bytes } of crowd.shards()) {
      const known = byRegion.get(region) ?? { ms: 0, bytes: 0 };
      byRegion.set(region, { ms: Math.max(known.ms, fetchedMs - atMs), bytes: known.bytes + bytes });
    }
  }
  crowd.order({ telling: false });
  const all = [...byRegion.values()];
  return {
    ms: byRegion.size < wanted ? Number.POSITIVE_INFINITY : Math.max(...all.map(({ ms }) => ms)),
    bytes: Math.max(0, ...all.map(({ bytes }) => bytes)),
    regions: byRegion.size,
  };
}
