import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { doctorCommand } from '../../../probe/cli/doctor.ts';
import { runCommandLine, type Terminal } from '../../../shared/command-line.ts';
import type { Finding } from '../../../shared/doctor.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parallax-doctor-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function examine(...args: string[]) {
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
  const context = { env: {}, cwd: folder, terminal, signal };
  const code = await runCommandLine(doctorCommand(context), ['--json', '--data', folder, ...args], terminal);
  const findings = out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Finding);
  const of = (check: string) => findings.filter((finding) => finding.check === check);
  return { code, err, findings, of };
}

/** What answers in a hub's place, its clock so far ahead. */
async function hub(answer = '{"status":"alive"}', aheadMs = 0, status = 200): Promise<string> {
  const server = createServer((_, response) => {
    response.sendDate = false;
    response.writeHead(status, { date: new Date(Date.now() + aheadMs).toUTCString() }).end(answer);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('parallax doctor', () => {
  test('a machine that is well, with a hub that answers', async () => {
    const { code, err, of } = await examine('--hub', await hub());
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(of('hub')).toMatchObject([{ state: 'ok', seen: expect.stringMatching(/answers in \d+ ms/) }]);
    expect(of('clock')).toMatchObject([{ state: 'ok' }]);
    expect(of('disk')[0]?.seen).toMatch(/a write is safe after [\d.]+ ms, [\d.]+ GiB are free/);
    expect(of('DNS')).toMatchObject([{ state: 'ok' }]);
  });

  test.each([
    [60_000, /60\.\d s behind|59\.\d s behind/],
    [-3_600_000, /3(600|599|601)\.\d s ahead of/],
  ])('a hub whose clock is %d ms ahead', async (aheadMs, says) => {
    const { code, of } = await examine('--hub', await hub(undefined, aheadMs));
    expect(code).toBe(0);
    expect(of('clock')).toMatchObject([{ state: 'warn', seen: expect.stringMatching(says) }]);
  });

  test.each([
    ['a captive portal', '<html>sign in</html>', 200],
    ['a load balancer without a hub', 'bad gateway', 502],
  ])('%s is no hub', async (_, answer, status) => {
    const { code, of } = await examine('--hub', await hub(answer, 0, status));
    expect(code).toBe(1);
    expect(of('hub')).toMatchObject([
      { state: 'fail', seen: expect.stringContaining(`answers ${status}, not as a hub does`) },
    ]);
  });

  test('a hub that is away, a folder that is none, a name that is not known', async () => {
    await writeFile(join(folder, 'file'), '');
    const { code, of } = await examine('--hub', 'http://no-such-hub.invalid', '--data', join(folder, 'file'));
    expect(code).toBe(1);
    expect(of('DNS')).toMatchObject([{ state: 'fail', todo: expect.stringContaining('--hub') }]);
    expect(of('disk')).toMatchObject([{ state: 'fail', seen: expect.stringContaining('is not a folder') }]);
  });

  test('finds the hub and the brokers of a probe that enrolled', async () => {
    const broker = createTcpServer((socket) => socket.destroy());
    await new Promise<void>((done) => broker.listen(0, '127.0.0.1', done));
    onTestFinished(() => void broker.close());
    const { port } = broker.address() as AddressInfo;
    const claims = { kafka: { brokers: [`127.0.0.1:${port}`, '127.0.0.1:1'] } };
    const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'identity.json'), JSON.stringify({ hub: await hub() }));
    await writeFile(join(folder, 'lease.json'), JSON.stringify({ lease: `x.${payload}.y` }));
    const { code, of } = await examine();
    expect(code).toBe(0);
    expect(of('Kafka').map(({ state, seen }) => [state, /:(\d+)/.exec(seen)?.[1]])).toEqual([
      ['ok', String(port)],
      ['warn', '1'],
    ]);
  });

  test('without a hub says how to name one', async () => {
    const { code, of } = await examine();
    expect(code).toBe(1);
    expect(of('hub')[0]?.todo).toContain('--hub URL');
  });
});
