import { execFile } from 'node:child_process';
import { access, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../../hub/process/port.ts';
import { type BenchChild, startChild } from './child.ts';

const name = 'prometheus-blackbox-exporter';

export interface Blackbox {
  readonly child: BenchChild;
  /** The address that makes it check `target` once. */
  urlFor(target: string, module: 'http' | 'https'): string;
}

/** Debian's blackbox_exporter on the measured core, installed where it is missing; null, with the reason, where it cannot be. */
export async function startBlackbox(folder: string, ca: string): Promise<Blackbox | string> {
  const file = (await findProgram()) ?? (await install());
  if (file === null) return `${name} is neither installed nor to be had by apt-get: no peer`;
  const caFile = join(folder, 'ca.pem');
  const config = join(folder, 'blackbox.yml');
  await writeFile(caFile, ca);
  await writeFile(
    config,
    `modules:
  http: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4, enable_http2: false, follow_redirects: true}}
  https: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4, enable_http2: false, tls_config: {ca_file: ${caFile}}}}
`,
  );
  const port = await freePort();
  const flags = [`--config.file=${config}`, `--web.listen-address=127.0.0.1:${port}`, '--log.level=error'];
  const child = startChild('measured', file, flags);
  const origin = `http://127.0.0.1:${port}`;
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const answer = await fetch(`${origin}/-/healthy`).catch(() => null);
    if (answer?.ok) break;
    await sleep(100);
  }
  return {
    child,
    urlFor: (target, module) => `${origin}/probe?module=${module}&target=${encodeURIComponent(target)}`,
  };
}

async function findProgram(): Promise<string | null> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(folder, name);
    const there = await access(file).then(
      () => true,
      () => false,
    );
    if (there) return file;
  }
  return null;
}

async function install(): Promise<string | null> {
  if (process.getuid?.() !== 0) return null;
  console.error(`installing ${name}`);
  const run = promisify(execFile);
  try {
    await run('apt-get', ['-qq', 'update'], { timeout: 120_000 });
    await run('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', name], {
      timeout: 300_000,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  } catch {
    return null;
  }
  return findProgram();
}
