import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readCertificate, watchCertificate } from '../../../hub/api/certificate.ts';
import { issueCertificate, makeAuthority } from '../../../hub/demo/certificates.ts';
import { type HubScene, startHubScene } from '../hub-scene.ts';
import { quiet } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';

interface Pair {
  readonly cert: string;
  readonly key: string;
}

let authority: Pair;

async function makePair(name: string, { expired = false } = {}): Promise<Pair> {
  const dayMs = 86_400_000;
  return issueCertificate(authority, {
    dns: [name],
    ips: ['127.0.0.1'],
    notBeforeMs: Date.now() - 10 * dayMs,
    notAfterMs: Date.now() + (expired ? -dayMs : 10 * dayMs),
  });
}

let folder: string;
let first: Pair;
let second: Pair;
const files = () => ({ certFile: join(folder, 'hub.crt'), keyFile: join(folder, 'hub.key') });
async function put({ cert, key }: Pair): Promise<void> {
  await writeFile(files().certFile, cert);
  await writeFile(files().keyFile, key);
}

beforeAll(async () => {
  authority = await makeAuthority(Date.now());
  [first, second] = await Promise.all([makePair('first'), makePair('second')]);
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parallax-tls-'));
  await put(first);
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('a certificate that cannot be used', () => {
  const cases: [what: string, spoil: () => Promise<unknown>, says: RegExp][] = [
    ['is not there', () => rm(files().certFile), /^--tls-cert .*hub\.crt: there is no such file$/],
    ['has no key', () => rm(files().keyFile), /^--tls-key .*hub\.key: there is no such file$/],
    ['is nothing', () => writeFile(files().certFile, ''), /hub\.crt holds no certificate in PEM$/],
    [
      'is half written',
      () => writeFile(files().certFile, first.cert.slice(0, 200)),
      /hub\.crt holds no certificate/,
    ],
    [
      'has another key',
      () => writeFile(files().keyFile, second.key),
      /hub\.key is not the key of .*hub\.crt$/,
    ],
    [
      'has no key in its key file',
      () => writeFile(files().keyFile, 'x'),
      /hub\.key holds no private key in PEM$/,
    ],
    [
      'is over',
      async () => put(await makePair('old', { expired: true })),
      /hub\.crt expired on \d{4}-\d\d-\d\d$/,
    ],
  ];
  test.each(cases)('%s', async (_, spoil, says) => {
    await spoil();
    await expect(readCertificate(files(), Date.now())).rejects.toThrow(says);
  });
});

describe('renewal', () => {
  test('a broken one is told of once and the old one stays, until a good one comes', async () => {
    const used: string[] = [];
    const said: string[] = [];
    let looks = 0;
    const log = { info: () => undefined, error: (line: unknown) => void said.push(String(line)) };
    const watch = watchCertificate({
      files: files(),
      first,
      use: ({ cert }) => void used.push(cert),
      log: log as never,
      clockMs: () => {
        looks += 1;
        return Date.now();
      },
      pollMs: 50,
    });
    await writeFile(files().certFile, second.cert);
    await until(() => said.length > 0);
    expect(said[0]).toMatch(/hub\.key is not the key of .*: the old TLS certificate stays in use$/);
    const before = looks;
    await until(() => looks > before + 1);
    await writeFile(files().keyFile, second.key);
    await until(() => used.length > 0);
    expect(used).toEqual([second.cert]);
    expect(said).toHaveLength(1);
    watch.stop();
  });

  test('a link that is moved, as Kubernetes does, is noticed without the poll', async () => {
    const versions = ['..v1', '..v2'];
    await rm(folder, { recursive: true });
    folder = await mkdtemp(join(tmpdir(), 'parallax-tls-'));
    for (const [index, pair] of [first, second].entries()) {
      const dir = join(folder, versions[index] ?? '');
      await mkdir(dir);
      await writeFile(join(dir, 'hub.crt'), pair.cert);
      await writeFile(join(dir, 'hub.key'), pair.key);
    }
    await symlink('..v1', join(folder, '..data'));
    await symlink('..data/hub.crt', files().certFile);
    await symlink('..data/hub.key', files().keyFile);
    const used: string[] = [];
    const watch = watchCertificate({
      files: files(),
      first: await readCertificate(files(), Date.now()),
      use: ({ cert }) => void used.push(cert),
      log: quiet,
      clockMs: Date.now,
      pollMs: 600_000,
    });
    await symlink('..v2', join(folder, '..data_tmp'));
    await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    await until(() => used.length > 0);
    expect(used).toEqual([second.cert]);
    watch.stop();
  });
});

describe('a hub that speaks https', () => {
  let hub: HubScene;
  test('takes a new certificate into use while connections go on', async () => {
    hub = await startHubScene({ tls: files() });
    try {
      const nameOf = () =>
        new Promise<string>((done, failed) => {
          const socket = connect({ port: hub.port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
            done(String(socket.getPeerCertificate().subject.CN));
            socket.destroy();
          });
          socket.on('error', failed);
        });
      const agent = new Agent({ connect: { rejectUnauthorized: false }, connections: 1 });
      const ask = async () => (await request(`${hub.origin}/healthz`, { dispatcher: agent })).statusCode;
      expect(await nameOf()).toBe('first');
      expect(await ask()).toBe(200);
      await put(second);
      await until(async () => (await nameOf()) === 'second');
      expect(await ask()).toBe(200);
      await writeFile(files().certFile, 'broken');
      await until(() =>
        hub.logged().some(({ msg }) => String(msg).includes('the old TLS certificate stays in use')),
      );
      expect(await nameOf()).toBe('second');
      await agent.close();
    } finally {
      await hub.stop();
    }
  });

  test('tells browsers to stay with https', async () => {
    hub = await startHubScene({ tls: files(), publicUrl: 'https://127.0.0.1:1' });
    try {
      const agent = new Agent({ connect: { rejectUnauthorized: false } });
      const { headers, body } = await request(`${hub.origin}/sign-in`, { dispatcher: agent });
      await body.dump();
      expect(headers['strict-transport-security']).toBe('max-age=31536000');
      await agent.close();
    } finally {
      await hub.stop();
    }
  });
});
