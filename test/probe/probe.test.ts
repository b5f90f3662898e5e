import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../hub/ingest/until.ts';
import { type FakeHub, startFakeHub } from './fake-hub.ts';
import { assign, endpoint, type StartedProbe, startProbe, startTarget, tempFolder } from './start-probe.ts';

let hub: FakeHub;
let target: Awaited<ReturnType<typeof startTarget>>;
let folder: Awaited<ReturnType<typeof tempFolder>>;
const started: StartedProbe[] = [];

beforeEach(async () => {
  hub = await startFakeHub();
  target = await startTarget();
  folder = await tempFolder();
});
afterEach(async () => {
  for (const probe of started.splice(0)) await probe.stop().catch(() => undefined);
  await hub.close().catch(() => undefined);
  await target.close();
  await folder.remove();
});

function start(over: Parameters<typeof startProbe>[0] | object = {}): StartedProbe {
  const probe = startProbe({ dataDir: join(folder.path, 'data'), ...over });
  started.push(probe);
  return probe;
}

async function enrolled(): Promise<StartedProbe> {
  const probe = start({ token: { text: await hub.token() } });
  await probe.said('the probe runs');
  return probe;
}

describe('a probe', () => {
  test('goes from a token to results', async () => {
    assign(hub, endpoint(1, `${target.url}/a`));
    const probe = await enrolled();
    // On a busy machine the first slot may come too late to end before the second.
    const ran = () => probe.results.filter(({ outcome }) => outcome !== 'skipped');
    await until(() => ran().length >= 2);
    const [first, second] = ran();
    expect(first).toMatchObject({
      endpointId: 1,
      rev: 1,
      regionId: 7,
      probeId: 100,
      outcome: 'up',
      status: 200,
    });
    const apart = (second?.scheduledAt ?? 0) - (first?.scheduledAt ?? 0);
    expect(apart).toBeGreaterThan(0);
    expect(apart % 1_000_000).toBe(0);
    expect(target.hits.get('/a')?.length).toBeGreaterThanOrEqual(2);
    await probe.stop();
  });
});
