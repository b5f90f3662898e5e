/**
 * How much a probe is drawn to a shard: weighted rendezvous hashing (Thaler and Ravishankar 1998; the weighted form
 * -w / ln h as in Mosharaf's and Schindler's). Whoever comes or goes changes nobody else's score.
 */
export function rendezvousScore(probeId: number, shard: number, weight: number): number {
  return -weight / Math.log(hashOf(probeId, shard));
}

/**
 * In (0, 1). Two rounds of MurmurHash3's finalizer: a thousand probes of one region are 256,000 pairs, and SHA-256
 * would take 1.5 us for each. Nobody gains by choosing an id, and ids are the hub's.
 */
function hashOf(probeId: number, shard: number): number {
  const low = mix(
    mix(probeId >>> 0) ^ Math.floor(probeId / 0x1_0000_0000) ^ Math.imul(shard + 1, 0x9e3779b1),
  );
  return (low + 0.5) / 0x1_0000_0000;
}

function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
