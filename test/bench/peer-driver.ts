// Asks a peer for checks over kept connections: node peer-driver.ts URL LOAD SECONDS. One line of JSON at the end.
import { Pool } from 'undici';
import { type Done, drive, type Load } from './load.ts';

const [url = '', load = '{}', seconds = '5'] = process.argv.slice(2);
const { origin, pathname, search } = new URL(url);
const pool = new Pool(origin, { connections: 256, pipelining: 1 });

async function ask(): Promise<Done> {
  const { body } = await pool.request({ method: 'GET', path: `${pathname}${search}` });
  const text = await body.text();
  const seconds = Number(/^probe_duration_seconds (\S+)$/m.exec(text)?.[1]);
  return { good: text.includes('\nprobe_success 1'), tookUs: seconds * 1e6 };
}

await drive({ atOnce: 16 }, 1, ask);
process.stdout.write(`${JSON.stringify({ warm: true })}\n`);
const driven = await drive(JSON.parse(load) as Load, Number(seconds), ask);
process.stdout.write(`${JSON.stringify(driven)}\n`);
await pool.close();
