import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { EndpointDocument } from '../../shared/endpoint.ts';
import { makeFolder } from '../process/folder.ts';
import { freePort, portIsFree } from '../process/port.ts';
import { type KeyPair, makeAuthority } from './certificates.ts';
import { expiringName } from './site.ts';

/** What the demo site is made of, kept in a folder so that a second start serves the same. */
export interface Demo {
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly authority: KeyPair;
}

/** Keeps the ports of the last start where they are still free. */
export async function prepareDemo(folder: string, nowMs: number): Promise<Demo> {
  await makeFolder(folder, 0o700);
  const kept = await readDemo(folder).catch(() => null);
  const demo: Demo = {
    httpPort: await choosePort(kept?.httpPort),
    httpsPort: await choosePort(kept?.httpsPort),
    authority: kept?.authority ?? (await makeAuthority(nowMs)),
  };
  await writeFile(join(folder, 'demo.json'), `${JSON.stringify(demo, null, 2)}\n`, { mode: 0o600 });
  await writeFile(join(folder, 'endpoints.yaml'), stringify({ endpoints: demoEndpoints(demo) }));
  return demo;
}

export async function readDemo(folder: string): Promise<Demo> {
  return JSON.parse(await readFile(join(folder, 'demo.json'), 'utf8')) as Demo;
}

async function choosePort(kept: number | undefined): Promise<number> {
  return kept !== undefined && (await portIsFree(kept)) ? kept : freePort();
}

export function demoEndpoints({ httpPort, httpsPort, authority }: Demo): EndpointDocument[] {
  const site = (path: string) => `http://127.0.0.1:${httpPort}${path}`;
  const often = { interval: '5s', timeout: '2s', tags: { team: 'demo' } };
  const tls = { ca: authority.cert };
  return [
    {
      ...often,
      name: 'demo-healthy',
      url: site('/healthy'),
      expect: { json: [{ path: '$.status', equals: 'ok' }] },
    },
    { ...often, name: 'demo-slow', url: site('/slow'), expect: { slowerThan: '300ms' } },
    { ...often, name: 'demo-flapping', url: site('/flapping') },
    { ...often, name: 'demo-broken', url: site('/broken') },
    { ...often, name: 'demo-tls', url: `https://127.0.0.1:${httpsPort}/healthy`, request: { tls } },
    {
      ...often,
      name: 'demo-certificate-ends-soon',
      url: `https://127.0.0.1:${httpsPort}/healthy`,
      request: { tls, serverName: expiringName },
    },
  ];
}
