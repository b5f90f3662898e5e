import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Database, openDatabase } from '../../hub/store/database.ts';
import { type TestDatabase, testDatabase } from '../harness/postgres.ts';
import { until } from '../hub/ingest/until.ts';
import { type DnsServer, startDnsServer } from '../probe/checks/dns-server.ts';
import {
  buildImages,
  type Container,
  type ContainerNetwork,
  type ContainerOptions,
  canHaveContainers,
  makeNetwork,
  mustPodman,
  podman,
  runContainer,
  startContainer,
} from './containers.ts';

const possible = await canHaveContainers();
const run = promisify(execFile);

let folder = '';
let images: { probe: string; hub: string };
let network: ContainerNetwork;
let database: TestDatabase;
let db: Database;
let hub: Container;
let origin = '';
let admin = '';
let status = 200;
let dns: DnsServer;
const servers: Server[] = [];
const probes: Container[] = [];
const volumes: string[] = [];

async function listening(server: Server, port = 0): Promise<number> {
  servers.push(server);
  server.listen(port, network.host);
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

async function api<Answer>(path: string, body: unknown): Promise<Answer> {
  const answer = await fetch(`${origin}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', authorization: `Bearer ${admin}` },
  });
  if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Answer;
}

beforeAll(async () => {
  if (!possible) return;
  folder = await mkdtemp(join(tmpdir(), 'parallax-containers-'));
  images = await buildImages();
  network = await makeNetwork();
  database = await testDatabase({ empty: true });
  db = openDatabase({ url: database.url, maxConnections: 2, applicationName: 'parallax-test' });
  const url = new URL(database.url);
  const [port, host] = [Number(url.port), url.hostname];
  // The database listens on loopback alone; where containers see this machine it is passed on.
  url.hostname = network.host;
  const passOn = createTcpServer((from) => {
    const to = connect(port, host);
    from.pipe(to).pipe(from);
    from.on('error', () => to.destroy());
    to.on('error', () => from.destroy());
  });
  origin = `http://${network.address(2)}:7070`;
  const volume = await makeVolume('hub');
  hub = await startContainer({
    name: `parallax-hub-${process.pid}`,
    image: images.hub,
    network: network.name,
    // Beside it its commands run, as an operator runs them.
    memory: '512m',
    flags: ['--ip', network.address(2), '--volume', `${volume}:/data`],
    env: {
      DATABASE_URL: url.href,
      PARALLAX_SECRET: Buffer.alloc(32, 7).toString('base64'),
      PARALLAX_PUBLIC_URL: origin,
    },
  });
  await network.untilUp();
  await listening(passOn, port);
  await until(async () => (await fetch(`${origin}/readyz`).catch(() => null))?.ok ?? false, 60_000).catch(
    async () => {
      throw new Error(`the hub is not ready:\n${await hub.log()}`);
    },
  );
  const made = await hub.parallax('tokens', 'create', 'me', '--scope', 'admin', '--json');
  if (made.code !== 0) throw new Error(`no token: ${made.code} ${made.err}\n${await hub.log()}`);
  admin = (JSON.parse(made.out) as { token: string }).token;
  const site = await listening(createServer((_, answer) => answer.writeHead(status).end('well')));
  dns = await startDnsServer(() => ['192.0.2.1'], undefined, { host: network.host, port: 0 });
  for (const [name, target] of [
    ['http', `http://${network.host}:${site}/`],
    ['dns', `dns://${dns.address}/shop.test`],
    ['ping', `ping://${network.host}`],
  ] as const)
    await api('/api/v1/endpoints', { name, url: target, interval: '2s', timeout: '2s' });
}, 600_000);

afterEach(async () => {
  for (const probe of probes.splice(0)) await probe.remove();
});

afterAll(async () => {
  if (!possible) return;
  await hub?.remove();
  await network?.remove();
  for (const volume of volumes) await podman('volume', 'rm', '--force', volume);
  for (const server of servers) server.close();
  await dns?.close();
  await db?.end();
  await database?.drop();
  await rm(folder, { recursive: true, force: true });
});

async function makeVolume(what: string): Promise<string> {
  const name = `parallax-${what}-${process.pid}`;
  await mustPodman('volume', 'create', name);
  volumes.push(name);
  return name;
}

/** A probe's container, not yet run: a region of its own, a token in a file that is mounted as a secret is. */
async function newProbe(region: string, over: Partial<ContainerOptions> = {}): Promise<ContainerOptions> {
  const { token } = await api<{ token: string }>('/api/v1/enrollments', { region });
  const file = join(folder, `${region}.token`);
  await writeFile(file, token, { mode: 0o644 });
  const volume = await makeVolume(region);
  const { flags = [], env = {}, ...rest } = over;
  return {
    name: `parallax-${region}-${process.pid}`,
    image: images.probe,
    network: network.name,
    flags: ['--volume', `${volume}:/data`, '--volume', `${file}:/run/secrets/token:ro`, ...flags],
    env: {
      PARALLAX_TOKEN_FILE: '/run/secrets/token',
      PARALLAX_ALLOW_NETWORK: `${network.host}/32`,
      PARALLAX_NAME: region,
      ...env,
    },
    ...rest,
  };
}

async function start(options: ContainerOptions): Promise<Container> {
  const probe = await startContainer(options);
  probes.push(probe);
  return probe;
}

interface Stored {
  readonly rows: number;
  readonly up: number;
  readonly names: readonly string[];
  readonly unable: readonly string[];
  readonly failures: readonly string[];
  readonly gaps: number;
  readonly rejects: number;
  readonly probes: number;
}

/** What is stored of a region. */
function stored(region: string): Promise<Stored> {
  return db.one<Stored>(
    `select count(*)::int4 as rows, count(*) filter (where outcome = 0)::int4 as up,
       coalesce(array_agg(distinct e.name) filter (where outcome = 0), '{}') as names,
       coalesce(array_agg(distinct e.name) filter (where failure_code = 'probe.unable'), '{}') as unable,
       coalesce(array_agg(distinct e.name || ' ' || failure_code) filter (where failure_code is not null), '{}') as failures,
       (select coalesce(sum(results), 0)::int4 from gaps) as gaps, (select count(*)::int4 from rejects) as rejects,
       (select count(*)::int4 from probes where region_id = max(g.id)) as probes
     from regions g join results r on r.region_id = g.id join endpoints e on e.id = r.endpoint_id
     where g.name = $1::text`,
    [region],
  );
}

async function grows(region: string, probe: Container, by = 6): Promise<Stored> {
  const { rows } = await stored(region);
  await until(async () => (await stored(region)).rows >= rows + by, 60_000).catch(async () => {
    throw new Error(`no results of ${region} come:\n${await probe.log()}\nthe hub:\n${await hub.log()}`);
  });
  return stored(region);
}

describe.skipIf(!possible)('the images', () => {
  test('hold no shell and no package manager, and run as nobody in particular', async () => {
    for (const image of [images.hub, images.probe]) {
      for (const tool of ['sh', 'bash', 'apt-get', 'npm', 'busybox']) {
        const tried = await podman(
          'run',
          '--rm',
          '--network',
          'none',
          '--ulimit',
          'nofile=64:64',
          '--ulimit',
          'nproc=64:64',
          '--entrypoint',
          tool,
          image,
        );
        expect([tool, tried.code, tried.err]).toEqual([tool, 127, expect.stringMatching(/not found/)]);
      }
    }
    expect((await hub.exec('sh', '-c', 'true')).code).not.toBe(0);
    const told = await hub.exec(
      '/usr/local/bin/node',
      '-p',
      'JSON.stringify([process.getuid(), process.getgid()])',
    );
    expect(JSON.parse(told.out)).toEqual([65532, 65532]);
    expect((await hub.health()).code).toBe(0);
    const { code, err } = await hub.parallax('probe');
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/'probe' is of the probe, which is not installed here/),
    ]);
    const up = await runContainer({
      name: `parallax-up-${process.pid}`,
      image: images.hub,
      network: 'none',
      args: ['up', '--data', '/data/up'],
    });
    expect([up.code, up.err]).toEqual([1, expect.stringMatching(/set DATABASE_URL/)]);
  });

  test('a probe checks over HTTP, DNS and ICMP, drains on SIGTERM, and is the same after a stop and after a kill', async () => {
    const options = await newProbe('guarded');
    const first = await start(options);
    await until(async () => (await stored('guarded')).names.length === 3, 60_000).catch(async () => {
      throw new Error(`${JSON.stringify(await stored('guarded'))}\n${await first.log()}`);
    });
    expect((await first.health()).code).toBe(0);
    expect((await first.exec('sh')).code).toBe(127);
    const looked = await first.parallax('doctor');
    expect([looked.code, looked.out]).toEqual([0, expect.stringMatching(/✓ disk(.|\n)*✓ ping(.|\n)*✓ hub/)]);

    const ended = await first.stop(15);
    expect(ended.code).toBe(0);
    expect(ended.tookMs).toBeLessThan(10_000);
    // Everything that it measured before it ended is there: its log's last word comes after its last batch.
    expect(await first.log()).toMatch(/the probe has stopped/);
    const atStop = await stored('guarded');
    expect(atStop).toMatchObject({ gaps: 0, rejects: 0, probes: 1 });
    await first.remove();

    // The token is spent: it goes on as who it was.
    const second = await start(options);
    const again = await grows('guarded', second);
    expect(again.probes).toBe(1);
    await second.kill();
    await second.remove();
    const third = await start(options);
    expect(await grows('guarded', third)).toMatchObject({ probes: 1, gaps: 0, rejects: 0 });
    const written = await third.exec(
      '/usr/local/bin/node',
      '-e',
      'require("fs").writeFileSync("/parallax/x", "")',
    );
    expect(written.err).toMatch(/EROFS/);

    // Stopped in its tracks it is not alive; without its hub it is.
    const pid = await third.pid();
    process.kill(pid, 'SIGSTOP');
    await new Promise((done) => setTimeout(done, 4000));
    const still = await third.health();
    process.kill(pid, 'SIGCONT');
    expect(still.code).not.toBe(0);
    await mustPodman('pause', hub.name);
    try {
      await new Promise((done) => setTimeout(done, 5000));
      expect((await third.health()).code).toBe(0);
    } finally {
      await mustPodman('unpause', hub.name);
    }
    await grows('guarded', third);
  });

  test('runs as any user number of group 0, and without ICMP says so once and does the rest', async () => {
    const probe = await start(await newProbe('any-user', { user: '1000660000:0', pings: false }));
    await until(async () => (await stored('any-user')).unable.length === 1, 60_000).catch(async () => {
      throw new Error(await probe.log());
    });
    await grows('any-user', probe);
    const seen = await stored('any-user');
    expect(seen).toMatchObject({ names: ['dns', 'http'], unable: ['ping'] });
    const said = (await probe.log()).match(/net\.ipv4\.ping_group_range/g);
    expect(said).toHaveLength(1);
    expect((await probe.parallax('doctor')).out).toMatch(/! ping +ping: socket: Operation not permitted/);
  });

  test('--once ends with 0 where everything is up, with 1 where something is down', async () => {
    const options = { ...(await newProbe('cron')), args: ['probe', '--once'] };
    const well = await runContainer(options);
    expect([well.code, well.err]).toEqual([0, expect.anything()]);
    status = 503;
    try {
      const ill = await runContainer(options);
      expect([ill.code, `${ill.err}${(await stored('cron')).failures}`]).toEqual([
        1,
        expect.stringMatching(/3 of 3 checked: 2 up, 0 degraded, 1 down/),
      ]);
    } finally {
      status = 200;
    }
    // What a relay took is stored within a moment.
    await until(async () => (await stored('cron')).rows === 6, 30_000);
    expect(await stored('cron')).toMatchObject({
      rows: 6,
      up: 5,
      probes: 1,
      failures: ['http expect.status'],
    });
    const lost = await runContainer({ ...options, name: `${options.name}-x`, args: ['probe', '--onse'] });
    expect(lost.code).toBe(2);
  });

  test('a full disk is said, kills nobody, and holes are told when there is room again', async () => {
    const options = await newProbe('full-disk');
    // A disk of 8 MB, mounted as a volume is.
    const disk = join(folder, 'disk');
    await mkdir(disk);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=0770,uid=65532', 'tmpfs', disk]);
    onTestFinished(async () => {
      for (const probe of probes.splice(0)) await probe.remove();
      await run('umount', [disk]);
    });
    const small = [...(options.flags ?? []).slice(2), '--volume', `${disk}:/data`];
    const probe = await start({ ...options, flags: small });
    await grows('full-disk', probe);
    const fill = `const fs=require('fs');const f=fs.openSync('/data/fill','w');
      try{for(;;)fs.writeSync(f,Buffer.alloc(4096))}catch(e){console.log(e.code)}`;
    expect((await probe.exec('/usr/local/bin/node', '-e', fill)).out).toBe('ENOSPC\n');
    await until(async () => /the disk is full: free some space/.test(await probe.log()), 30_000);
    await new Promise((done) => setTimeout(done, 5000));
    expect((await probe.health()).code).toBe(0);
    await probe.exec('/usr/local/bin/node', '-e', 'require("fs").rmSync("/data/fill")');
    await grows('full-disk', probe, 12);
    // Each slot that was due meanwhile waited in memory, or its loss is signed.
    const { missing } = await db.one<{ missing: number }>(
      `select (extract(epoch from max(scheduled_at) - min(scheduled_at)) / 2 + 1 - count(*))::int4 as missing
       from results r join endpoints e on e.id = r.endpoint_id join regions g on g.id = r.region_id
       where g.name = 'full-disk' and e.name = 'http' and r.kind = 0`,
      [],
    );
    const { gaps } = await stored('full-disk');
    expect(missing).toBeLessThanOrEqual(gaps);
  });

  test('with 64 open files it works, and the doctor tells what that means', async () => {
    const probe = await start(await newProbe('few-files', { files: 64 }));
    const seen = await grows('few-files', probe);
    expect([...seen.names]).toEqual(['dns', 'http', 'ping']);
    const { out } = await probe.parallax('doctor');
    expect(out).toMatch(/! file limit +64 open files, and 1000 checks may run at once\n +→ raise it to 1200/);
    expect((await probe.stop(15)).code).toBe(0);
  });
});
