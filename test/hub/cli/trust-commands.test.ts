import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../../../hub/cli/main.ts';
import { loadHubKeys } from '../../../hub/trust/load-keys.ts';
import type { CliContext } from '../../../shared/command-line.ts';
import { newKey, type TrustScene, trustScene } from '../trust/scene.ts';

let hub: TrustScene;
let home: string;
beforeAll(async () => {
  hub = await trustScene();
  home = await mkdtemp(join(tmpdir(), 'parallax-cli-'));
});
afterAll(async () => {
  await hub.end();
  await rm(home, { recursive: true });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function parallax(line: string, env: Record<string, string> = {}): Promise<Ran> {
  let [out, err] = ['', ''];
  const context: CliContext = {
    env: { PARALLAX_HUB: hub.origin, PARALLAX_TOKEN: 'test', ...env },
    cwd: home,
    terminal: {
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
      columns: null,
      colour: false,
    },
    signal: new AbortController().signal,
  };
  const code = await run(line.split(' '), context);
  return { code, out, err };
}

describe('parallax enroll', () => {
  test('prints the token alone, which lets a probe in; list and revoke know it', async () => {
    const { code, out, err } = await parallax('enroll --region eu-west --uses 2 --ttl 30m --approve');
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect((await hub.enroll(newKey(), out.trim())).content.status).toBe('pending');
    const listed = await parallax('enroll list');
    const [head = '', row = ''] = listed.out.split('\n');
    expect(head).toMatch(/^ID +REGION +STATE +USED/);
    expect(row).toMatch(/^[\w-]{36} {2}eu-west {2}open +1\/2 +yes +in 29m +0s ago {2}token:test$/);
    const { jti } = JSON.parse((await parallax('enroll list --json')).out.split('\n')[0] ?? '') as {
      jti: string;
    };
    expect((await parallax(`enroll revoke ${jti}`)).out).toBe(`revoked ${jti}\n`);
    expect((await hub.enroll(newKey(), out.trim())).code).toBe('enrollment.revoked');
    const json = await parallax('enroll --region eu-west --json');
    expect(JSON.parse(json.out)).toMatchObject({ region: 'eu-west', uses: 1, approve: false });
  });

  test.each([
    ['enroll', 2, /which region\? Name it with --region/],
    ['enroll --region eu-west --uses many', 2, /--uses takes a number from 1 up, not 'many'/],
    ['enroll --region eu-west --uses 0', 2, /--uses takes a number from 1 up/],
    ['enroll --region eu-west --ttl 3d', 1, /3d is not within 1m to 1d/],
    ['enroll --region Eu_West', 1, /a region is written in lower-case letters, digits and hyphens/],
    ['enroll revoke', 2, /missing required argument 'id'/],
    ['enroll revoke 7d444840-9dc0-11d1-b245-5ffdce74fad2', 1, /there is no enrollment 7d444840/],
    ['enroll --nope', 2, /unknown option '--nope'/],
    ['enroll lisst', 2, /too many arguments|unknown command/],
    ['probes', 2, /Usage:/],
    ['probes approve x', 2, /'x' is not the id of a probe/],
    ['probes revoke 999999', 1, /there is no probe 999999/],
    ['probes list --status odd', 2, /Allowed choices are pending, active, revoked/],
    ['keys rotate', 2, /rotate what\? Name --lease, --kafka or --root/],
    ['keys rotate --public-url hub.example', 2, /takes an address like https:\/\/hub\.example/],
    ['keys show', 1, /hub-keys\.json is missing/],
    ['keys rotate --lease', 1, /there are no keys in .*: a hub makes them when it starts first/],
  ])('%s ends with %i and says why', async (line, code, message) => {
    const ran = await parallax(line);
    expect([ran.code, ran.out]).toEqual([code, '']);
    expect(ran.err).toMatch(message);
  });

  test.each(['enroll', 'enroll list', 'probes', 'probes revoke', 'keys', 'keys rotate'])(
    '%s --help tells how',
    async (line) => {
      const { code, out } = await parallax(`${line} --help`);
      expect(code).toBe(0);
      expect(out).toContain('Usage:');
    },
  );

  test('a hub that is away is named', async () => {
    const { code, err } = await parallax('probes list', { PARALLAX_HUB: 'http://127.0.0.1:1' });
    expect(code).toBe(1);
    expect(err).toMatch(/cannot reach the hub at http:\/\/127\.0\.0\.1:1/);
  });
});

describe('parallax probes', () => {
  test('lists, approves and revokes', async () => {
    const { token } = await hub.mint({ region: 'cli', approve: true });
    const { probeId } = (await hub.enroll(newKey(), token, { name: 'fra-1' })).content;
    const list = async () => (await parallax('probes list --region cli')).out.split('\n')[1];
    expect(await list()).toMatch(new RegExp(`^${probeId} +fra-1 +cli +pending +never`));
    expect((await parallax(`probes approve ${probeId}`)).out).toBe(
      `probe ${probeId} (fra-1, cli) works from now on\n`,
    );
    expect(await list()).toMatch(/ active /);
    const revoked = await parallax(`probes revoke ${probeId} --json`);
    expect(JSON.parse(revoked.out)).toMatchObject({ id: probeId, status: 'revoked' });
    // Whatever its last lease says: it holds no more.
    await hub.db.run(
      `insert into probe_presence values ($1, now(), 1, now() + $2::interval, '', 1, 0, 0, 0, '', '')`,
      [probeId, '1 hour'],
    );
    expect(await list()).not.toMatch(/ held /);
    const back = await parallax(`probes approve ${probeId}`);
    expect([back.code, back.err]).toEqual([
      1,
      `parallax: probe ${probeId} was revoked, for good: enroll it anew (probe.revoked)\n`,
    ]);
    await hub.db.run("update probes set name = 'x' where id = $1", [probeId]);
    expect(await list()).toMatch(/ untrusted /);
  });
});

describe('parallax keys', () => {
  test('shows and rotates what lies in the folder, with the root there or elsewhere', async () => {
    const dir = join(home, 'keys');
    const publicUrl = 'https://hub.example';
    const { rootThumbprint, lease } = await loadHubKeys({ dir, publicUrl, now: () => Date.now() * 1000 });
    const env = { PARALLAX_KEYS: dir };
    const shown = await parallax('keys show', env);
    expect(shown.out).toMatch(
      new RegExp(`root +${rootThumbprint} +signs key set \\d+ for https://hub.example, private key here`),
    );
    expect(shown.out).toMatch(new RegExp(`lease +${lease.kid} +signs +0s ago`));
    expect(shown.out).not.toMatch(/"d"/);
    const rotated = await parallax(`keys rotate --lease --kafka --root --json --keys ${dir}`);
    const now = JSON.parse(rotated.out) as { root: string; rootFile: string; leaseKid: string };
    expect(now.root).not.toBe(rootThumbprint);
    await rename(now.rootFile, join(home, 'root.json'));
    const away = await parallax('keys rotate --lease', env);
    expect([away.code, away.err]).toEqual([1, expect.stringMatching(/root's private key.*--root-key/)]);
    const offline = await parallax(
      `keys rotate --lease --drop-old --root-key ${join(home, 'root.json')}`,
      env,
    );
    expect(offline.code).toBe(0);
    expect(offline.out).toContain('no longer believed: ');
    expect(offline.out).toContain(now.leaseKid);
    const lines = (await parallax('keys show --json', env)).out.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { use: 'root', kid: now.root, state: expect.stringMatching(/private key elsewhere$/) },
      { use: 'lease', state: 'signs' },
      { use: 'kafka', state: 'signs' },
    ]);
  });
});
