import { queryObjects } from 'node:v8';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Changes, tellChange } from '../../../hub/store/changes.ts';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { listenForChanges } from '../../../hub/store/listen-for-changes.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';
import { quiet } from '../ingest/scene.ts';

let database: TestDatabase;
let db: Database;
let changes: Changes;

beforeEach(async () => {
  database = await testDatabase();
  db = openDatabase({ url: database.url });
});
afterEach(async () => {
  await changes.stop();
  await db.end();
  await database.drop();
});

async function listening(pollMs: number): Promise<string[]> {
  changes = listenForChanges({ url: database.url, log: quiet, pollMs, longestRetryMs: 200 });
  const heard: string[] = [];
  for (const topic of ['endpoints', 'probes', 'results'] as const) {
    changes.subscribe(topic, () => heard.push(topic));
  }
  await tellChange(db, 'jobs');
  await until(async () => (await connections()) === 1);
  return heard;
}

async function connections(): Promise<number> {
  const row = await db.one<{ count: number }>(
    `select count(*) from pg_stat_activity where application_name = 'parallax-changes'
       and datname = current_database() and query <> ''`,
  );
  return row.count;
}

async function until(holds: () => boolean | Promise<boolean>, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error('it did not come to pass');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('a change is heard at once, by its topic, when it commits and not before', async () => {
  const heard = await listening(60_000);
  let told = 0;
  await db.transaction(async (sql) => {
    await tellChange(sql, 'endpoints');
    await new Promise((resolve) => setTimeout(resolve, 300));
    told = performance.now();
    expect(heard).toEqual([]);
  });
  await until(() => heard.length > 0);
  expect(performance.now() - told).toBeLessThan(500);
  expect(heard).toEqual(['endpoints']);
});

test('a change that was rolled back is never heard', async () => {
  const heard = await listening(50);
  const failing = db.transaction(async (sql) => {
    await tellChange(sql, 'probes');
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  await tellChange(db, 'endpoints');
  await until(() => heard.length > 0);
  expect(heard).toEqual(['endpoints']);
});

test('the poll hears what no notification tells, as behind a pooler', async () => {
  const heard = await listening(50);
  await db.run(
    `insert into change_versions values ('probes', 0, 1)
     on conflict (topic, stripe) do update set version = change_versions.version + 1`,
  );
  await until(() => heard.includes('probes'));
});

test('a hundred changes at once are heard as few, the last one among them', async () => {
  const heard = await listening(60_000);
  await Promise.all(Array.from({ length: 100 }, () => tellChange(db, 'results')));
  await until(() => heard.length > 0);
  const count = heard.length;
  await tellChange(db, 'results');
  await until(() => heard.length > count);
  expect(heard.length).toBeLessThan(50);
});

test('what changed while the connection was broken is heard when it stands again', async () => {
  const heard = await listening(60_000);
  await db.run(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'parallax-changes' and datname = current_database()",
  );
  await tellChange(db, 'probes');
  await until(() => heard.includes('probes'));
  await tellChange(db, 'endpoints');
  await until(() => heard.includes('endpoints'));
});

test('whoever unsubscribed hears no more, and one bad listener does not deafen the others', async () => {
  const heard = await listening(60_000);
  const bad = changes.subscribe('endpoints', () => {
    throw new Error('bad listener');
  });
  let calls = 0;
  const stop = changes.subscribe('endpoints', () => {
    calls += 1;
  });
  await tellChange(db, 'endpoints');
  await until(() => heard.length === 1 && calls === 1);
  bad();
  stop();
  await tellChange(db, 'endpoints');
  await until(() => heard.length === 2);
  expect(calls).toBe(1);
});

test('a busy connection that never breaks keeps nothing of what it waited for', async () => {
  let heard = 0;
  changes = listenForChanges({ url: database.url, log: quiet, pollMs: 60_000 });
  changes.subscribe('results', () => {
    heard += 1;
  });
  await until(async () => (await connections()) === 1);
  const looked = async (times: number) => {
    for (let time = 0; time < times; time += 1) {
      const before = heard;
      await tellChange(db, 'results');
      await until(() => heard > before);
    }
  };
  await looked(3);
  const promises = Number(queryObjects(Promise));
  await looked(20);
  expect(Number(queryObjects(Promise)) - promises).toBeLessThan(20);
});
