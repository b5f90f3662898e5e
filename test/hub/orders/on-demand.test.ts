import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkFromCommand } from '../../../hub/cli/check-from.ts';
import { tellChange } from '../../../hub/store/changes.ts';
import { insertOrders } from '../../../hub/store/insert-orders.ts';
import { runCommandLine, type Terminal } from '../../../shared/command-line.ts';
import { orderPath } from '../../../shared/order.ts';
import { startProbe, tempFolder } from '../../probe/start-probe.ts';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';
import { until } from '../ingest/until.ts';

let hub: HubScene;
let token = '';
const ends: (() => Promise<unknown>)[] = [];
let hits: string[] = [];
let target = '';

async function probeIn(region: string): Promise<void> {
  const admin = await hub.token(['admin']);
  const answer = await hub.ask('/api/v1/enrollments', {
    method: 'POST',
    token: admin,
    body: JSON.stringify({ region }),
    headers: { 'content-type': 'application/json' },
  });
  expect(answer.status).toBe(201);
  const { token: text } = (await answer.json()) as { token: string };
  const folder = await tempFolder();
  const probe = startProbe({ dataDir: folder.path, token: { text }, name: `p-${region}` });
  ends.push(async () => {
    await probe.stop();
    await folder.remove();
  });
  await probe.said('new assignments in force');
}

beforeAll(async () => {
  hub = await startHubScene();
  token = await hub.token(['write']);
  const server = createServer((request, response) => {
    hits.push(`${request.url} ${request.headers.authorization ?? ''}`);
    if (request.url !== '/hang') response.writeHead(request.url === '/broken' ? 500 : 200).end('the fox');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  ends.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  target = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await probeIn('eu-west');
  await probeIn('us-east');
});
afterAll(async () => {
  for (const end of ends.toReversed()) await end();
  await hub.stop();
});

const order = (body: object, by = token) =>
  hub.ask('/api/v1/checks', {
    method: 'POST',
    token: by,
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });

interface Event {
  readonly event: string;
  readonly data: Record<string, unknown>;
}

async function events(body: object): Promise<Event[]> {
  const answer = await order(body);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
  return (await answer.text())
    .split('\n\n')
    .filter(Boolean)
    .map((part) => ({
      event: /^event: (.*)$/m.exec(part)?.[1] ?? '',
      data: JSON.parse(/^data: (.*)$/m.exec(part)?.[1] ?? 'null'),
    }));
}

describe('a check on demand', () => {
  test('is run once by a probe of each region, told as it comes, and stored nowhere', async () => {
    hits = [];
    const sinceMs = performance.now();
    const seen = await events({ regions: ['eu-west', 'us-east'], url: `${target}/x` });
    expect(performance.now() - sinceMs).toBeLessThan(5000);
    expect(seen.map(({ event }) => event)).toEqual(['ordered', 'result', 'result', 'done']);
    const results = seen.filter(({ event }) => event === 'result').map(({ data }) => data);
    expect(results.map(({ region }) => region).sort()).toEqual(['eu-west', 'us-east']);
    for (const result of results) {
      expect(result).toMatchObject({ outcome: 'up', status: 200, remoteIp: '127.0.0.1', failure: null });
      expect((result.timings as { total: number }).total).toBeGreaterThan(0);
    }
    expect(seen.at(-1)?.data).toEqual({ answered: 2, silent: [] });
    expect(hits).toEqual(['/x ', '/x ']);
    expect(await hub.db.many('select from results')).toEqual([]);
  });

  test('carries a document with secrets, which lie sealed in the database', async () => {
    hits = [];
    const endpoint = {
      url: `${target}/s`,
      request: { bearer: 'my-secret-token' },
      expect: { body: { matches: ['cat'] } },
    };
    const seen = await events({ regions: ['eu-west'], endpoint });
    expect(hits).toEqual(['/s Bearer my-secret-token']);
    expect(seen[1]?.data).toMatchObject({ outcome: 'down', failure: { code: 'expect.body' } });
    const rows = await hub.db.many<{ row: string }>('select o::text as row from orders o');
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.map(({ row }) => row).join()).not.toContain('my-secret-token');
    const audit = await hub.db.many<{ row: string }>('select a::text as row from audit_log a');
    expect(audit.map(({ row }) => row).join()).toContain('check.order');
    expect(audit.map(({ row }) => row).join()).not.toContain('my-secret-token');
  });

  test('of a target that hangs is answered within ten seconds', async () => {
    const sinceMs = performance.now();
    const seen = await events({ regions: ['eu-west'], url: `${target}/hang` });
    expect(performance.now() - sinceMs).toBeLessThan(10_600);
    expect(seen[1]?.data).toMatchObject({ outcome: 'down', failure: { code: 'wait.timeout' } });
  });

  test('never leads a probe where its own policy forbids', async () => {
    const seen = await events({ regions: ['eu-west'], url: 'http://169.254.169.254/latest/meta-data' });
    expect(seen[1]?.data).toMatchObject({ outcome: 'skipped', failure: { code: 'policy.blocked' } });
  });

  test('an order that only the database knows is run by nobody', async () => {
    hits = [];
    const { id: probeId, regionId } = await hub.db.one<{ id: number; regionId: number }>(
      `select id, region_id as "regionId" from probes limit 1`,
    );
    const forged = { id: 'f'.repeat(32), probeId, regionId, content: 'v1.forged' };
    await insertOrders(hub.db, [forged], 'nobody', 5000);
    await tellChange(hub.db, 'orders');
    await until(() => hub.logged().some(({ msg }) => String(msg).includes('not written by this hub')), 5000);
    expect(hits).toEqual([]);
  });

  test.each([
    ['no scope', { regions: ['eu-west'], url: 'https://a.example' }, 403, 'auth.scope'],
    ['an unknown region', { regions: ['mars'], url: 'https://a.example' }, 404, 'region.unknown'],
    ['no URL', { regions: ['eu-west'] }, 400, 'request.invalid'],
    ['a wrong URL', { regions: ['eu-west'], url: 'nonsense' }, 400, 'request.invalid'],
    [
      'a wrong document',
      { regions: ['eu-west'], endpoint: { url: 'https://a.example', requst: {} } },
      400,
      'request.invalid',
    ],
  ])('%s is refused', async (what, body, status, code) => {
    const by = what === 'no scope' ? await hub.token(['read']) : token;
    expect(await codeOf(await order(body, by))).toEqual([status, code]);
  });

  test('a token for one region orders none from another', async () => {
    const narrow = await hub.token(['write'], ['us-east']);
    expect(await codeOf(await order({ regions: ['eu-west'], url: target }, narrow))).toEqual([
      403,
      'auth.region',
    ]);
  });

  test('a region without a probe is told, and one alone is refused', async () => {
    await hub.db.run("insert into regions (name) values ('empty')");
    await tellChange(hub.db, 'probes');
    await until(async () => (await order({ regions: ['empty'], url: target })).status === 409, 5000);
    const seen = await events({ regions: ['empty', 'eu-west'], url: `${target}/e` });
    expect(seen[0]?.data).toMatchObject({ empty: ['empty'] });
    expect(seen.at(-1)?.data).toMatchObject({ answered: 1 });
  });

  test('an answer that nobody asked for is refused', async () => {
    const answer = await hub.ask(orderPath('0'.repeat(32)), { method: 'POST', body: '{}' });
    expect(answer.status).toBe(401);
  });
});

describe('parallax check --from', () => {
  async function run(...argv: string[]) {
    let [out, err] = ['', ''];
    const terminal: Terminal = {
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
      columns: null,
      colour: false,
    };
    const { signal } = new AbortController();
    const env = { PARALLAX_HUB: hub.origin, PARALLAX_TOKEN: token };
    const code = await runCommandLine(checkFromCommand({ env, cwd: '/', terminal, signal }), argv, terminal);
    return { code, out, err };
  }

  test('shows a line a region', async () => {
    const { code, out, err } = await run('--from', 'eu-west,us-east', `${target}/cli`);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const [head, ...lines] = out.trim().split('\n');
    expect(head).toMatch(/^REGION +OUTCOME +DNS +CONNECT +TLS +WAIT +TRANSFER +TOTAL +WHAT$/);
    expect(lines.map((line) => line.split(/ +/)[0]).sort()).toEqual(['eu-west', 'us-east']);
    // A busy machine spoils what it measures, and says so.
    expect(lines[0]).toMatch(/ up .* ms {2}200, 127\.0\.0\.1(, suspect)?$/);
  });

  test('ends with 1 where it is not up everywhere, with 2 for wrong usage', async () => {
    const down = await run('--from', 'eu-west', '--json', `${target}/broken`);
    expect(down.code).toBe(1);
    expect(JSON.parse(down.out)).toMatchObject({ region: 'eu-west', outcome: 'down', status: 500 });
    expect((await run('--from', 'eu-west')).code).toBe(2);
    expect((await run('--from', 'mars', target)).code).toBe(1);
  });
});

test('more than a hundred in a minute are refused', async () => {
  const rows = Array.from({ length: 100 }, (_, index) => ({
    id: String(index).padStart(32, '0'),
    probeId: 1,
    regionId: 1,
    content: '',
  }));
  await insertOrders(hub.db, rows, 'token:test', 1);
  expect(await codeOf(await order({ regions: ['eu-west'], url: target }))).toEqual([429, 'check.too_many']);
});
