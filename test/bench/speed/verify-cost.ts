import type { IncomingBatch } from '../../../hub/ingest/bus.ts';
import { verifyBatch } from '../../../hub/ingest/verify.ts';
import type { RegisteredProbe } from '../../../hub/trust/registry.ts';
import { encodeBatch } from '../../../shared/batch.ts';
import { currentBatchSchema } from '../../../shared/batch-schema.ts';
import { ed25519PublicKey, signBytes } from '../../../shared/signing.ts';
import { benchProbeKey } from '../scale/probe-key.ts';
import { loadTurns } from './load-turns.ts';

const distinct = 200;

/** CPU microseconds that one batch of so many results takes from its bytes to what is stored of it. */
export function verifyCost(batchSize: number, seconds = 2): { batchUs: number; resultUs: number } {
  const { privateKey, publicKey, kid } = benchProbeKey(1);
  const probe: RegisteredProbe = {
    id: 1,
    name: 'probe-1',
    regionId: 1,
    kid,
    publicKey: ed25519PublicKey(publicKey),
    status: 'active',
  };
  const all: ReadonlySet<number> = new Set([1]);
  const registry = {
    probeByKid: () => probe,
    probeById: () => probe,
    regionById: () => undefined,
    regions: () => [],
    regionsOfEndpoint: () => all,
    refresh: async () => undefined,
    stop: () => undefined,
  };
  const fromUs = Date.UTC(2026, 0, 7) * 1000;
  const turns = loadTurns({
    endpoints: 20_000,
    regions: 1,
    probes: 1,
    intervalUs: 60_000_000,
    batchSize,
    fromUs,
  });
  const incoming = Array.from({ length: distinct }, (): IncomingBatch => {
    const { stream, seq, results } = turns.next().value;
    const value = encodeBatch({
      probeId: 1,
      regionId: 1,
      stream,
      seq,
      leaseVersion: 1,
      sealedAt: fromUs,
      results,
      gaps: [],
    });
    const headers = { kid, sig: signBytes(privateKey, value), schema: String(currentBatchSchema) };
    return { key: stream, value, headers, position: null };
  });
  const limits = { nowUs: Date.now() * 1000, sealedUntilUs: 0, hasPartition: () => true };
  const untilMs = performance.now() + seconds * 1000;
  // The first half makes the code hot.
  let [batches, results, cpu] = [0, 0, process.cpuUsage()];
  let warm = false;
  for (let at = 0; performance.now() < untilMs; at += 1) {
    const one = incoming[at % distinct];
    if (!one) break;
    const verified = verifyBatch(one, registry, limits);
    if (verified.results.length === 0) throw new Error(`not verified: ${verified.rejects[0]?.reason}`);
    if (!warm && performance.now() > untilMs - seconds * 500) {
      warm = true;
      [batches, results, cpu] = [0, 0, process.cpuUsage()];
    }
    batches += 1;
    results += verified.results.length;
  }
  const { user, system } = process.cpuUsage(cpu);
  return { batchUs: (user + system) / batches, resultUs: (user + system) / results };
}
