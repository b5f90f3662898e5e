import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type Batch, decodeBatch } from '../../shared/batch.ts';
import { relayHeaders, relayPath } from '../../shared/relay.ts';
import type { Result } from '../../shared/result.ts';
import { phaseOf } from '../../shared/slot.ts';
import { type FakeHub, fakeRegion, startFakeHub } from './fake-hub.ts';
import { assign, endpoint, startTarget, tempFolder } from './start-probe.ts';

const hourMs = 3_600_000;
const yearMs = 365 * 24 * hourMs;
const intervalMs = 500;

let hub: FakeHub;
let folder = '';
let clockFile = '';
let batches: Batch[] = [];
let said = '';

beforeEach(async () => {
  hub = await startFakeHub();
  hub.bendClaims = (claims) => ({ ...claims, reads: ['network', 'clockOffsetUs'] });
  const target = await startTarget();
  const temp = await tempFolder();
  folder = temp.path;
  clockFile = join(folder, 'clock.json');
  batches = [];
  said = '';
  hub.intercept = (request, response, body) => {
    if (request.url !== relayPath) return false;
    batches.push(decodeBatch(body, String(request.headers[relayHeaders.schema])));
    response.writeHead(204).end();
    return true;
  };
  assign(hub, endpoint(1, `${target.url}/1`, { intervalMs, timeoutMs: 200 }));
  onTestFinished(async () => {
    await hub.close().catch(() => undefined);
    await target.close();
    await temp.remove();
  });
});

/** The whole probe as a process, whose wall clock is what the file says; its steady clock is left alone. */
async function startWith(offsetMs: number): Promise<ChildProcess> {
  await setClock(offsetMs);
  const token = join(folder, 'token');
  await writeFile(token, await hub.token());
  const args = ['--token-file', token, '--data', join(folder, 'data'), '--allow-network', '127.0.0.0/8'];
  const preload = join(import.meta.dirname, '../chaos/preload/shift-clock.ts');
  const child = spawn(process.execPath, [join(import.meta.dirname, 'probe-child.ts'), ...args], {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? '',
      NODE_OPTIONS: `--import=${preload}`,
      PARALLAX_CHAOS_CLOCK: clockFile,
    },
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  const ended = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return child;
}

async function setClock(offsetMs: number): Promise<void> {
  await writeFile(clockFile, JSON.stringify({ offsetMs, driftPpm: 0, sinceMs: 0 }));
}

const results = (): readonly Result[] => batches.flatMap((batch) => batch.results);

/** The grid of hub time that all probes of the region share, and never twice the same slot. */
function onTheGrid(found: readonly Result[]): void {
  const phaseUs = phaseOf(1, fakeRegion.id, intervalMs * 1000);
  const slots = found.map(({ scheduledAt }) => scheduledAt);
  expect(slots.map((at) => (at - phaseUs) % (intervalMs * 1000))).toEqual(slots.map(() => 0));
  expect(new Set(slots).size).toBe(slots.length);
}

const resulted = (count: number) =>
  hub
    .until(() => results().length >= count, 20_000)
    .catch((error) => {
      throw new Error(`${results().length} results; it said:\n${said}`, { cause: error });
    });

describe('a probe whose clock is wrong', () => {
  const offsets: [words: string, ms: number][] = [
    ['a year behind', -yearMs],
    ['a day behind', -24 * hourMs],
    ['hours behind', -5 * hourMs],
    ['2 s behind', -2000],
    ['right', 0],
    ['2 s ahead', 2000],
    ['hours ahead', 5 * hourMs],
    ['a day ahead', 24 * hourMs],
    ['a year ahead', yearMs],
  ];
  test.each(offsets)('from the start, %s: every slot is on hub time, and the hub is told', async (_, ms) => {
    await startWith(ms);
    await resulted(6);
    onTheGrid(results());
    const nowUs = hub.nowUs();
    for (const { scheduledAt, startedAt, lateBy } of results()) {
      expect(Math.abs(nowUs - scheduledAt)).toBeLessThan(20_000_000);
      expect(startedAt - scheduledAt).toBe(lateBy);
      expect(Math.abs(lateBy)).toBeLessThan(1_000_000);
    }
    await hub.until(() => hub.probe().asked?.clockOffsetUs !== undefined);
    const offsetUs = hub.probe().asked?.clockOffsetUs ?? 0;
    // The preload looks at its file 5 times a second; the hub's time is as far off as the network takes.
    expect(Math.abs(offsetUs / 1000 - ms)).toBeLessThan(500);
    expect(said.match(/the clock of this machine is off/g)?.length ?? 0).toBe(ms === 0 ? 0 : 1);
  });

  const steps: [words: string, ms: number][] = [
    ['a year back', -yearMs],
    ['an hour back', -hourMs],
    ['half a second back', -500],
    ['an hour ahead', hourMs],
    ['a year ahead', yearMs],
  ];
  test.each(steps)(
    'set %s while it runs, and right again: nothing is told twice, or for another time',
    async (_, ms) => {
      // So long that no step of these ends it by the wall clock, but the year's.
      hub.leaseSeconds = 6 * 3600;
      await startWith(0);
      await resulted(3);
      await setClock(ms);
      const stepped = results().length;
      await resulted(stepped + 6);
      await setClock(0);
      const mended = results().length;
      await resulted(mended + 6);
      onTheGrid(results());
      const slots = results().map(({ scheduledAt }) => scheduledAt);
      const [first = 0, last = 0] = [Math.min(...slots), Math.max(...slots)];
      expect(Math.abs(hub.nowUs() - last)).toBeLessThan(20_000_000);
      // A lease that seems to be over by the wall clock is asked for anew at once: a slot or two, no more.
      const due = Math.round((last - first) / (intervalMs * 1000)) + 1;
      expect(slots.length).toBeGreaterThanOrEqual(due - 4);
      if (Math.abs(ms) < 1000) return;
      expect(said).toContain('the clock of this machine is off');
      await hub
        .until(() => /the clock of this machine is right again/.test(said), 5000)
        .catch(() => wait(500));
      expect(said.match(/the clock of this machine is off/g)).toHaveLength(1);
    },
  );

  test('tells an older hub nothing that it would refuse', async () => {
    hub.bendClaims = (claims) => claims;
    await startWith(hourMs);
    await resulted(3);
    expect(hub.probe().asked).not.toHaveProperty('clockOffsetUs');
    expect(hub.probe().asked).not.toHaveProperty('network');
  });
});
