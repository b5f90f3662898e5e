import { readFile, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { kafkaJwksPath } from '../../hub/api/well-known.ts';

export interface JwksMirror {
  readonly url: string;
  close(): Promise<void>;
}

const patienceMs = 2000;
const mostBytes = 64 * 1024;
const none = '{"keys":[]}';

/**
 * The hub's keys for Kafka tokens, at an address that always answers. A broker asks for them when it starts, and does
 * not start without: with this it may start before the hub, or while the hub is away. What the hub said last is kept
 * in `file`; before it ever said anything there are no keys, and no token is believed.
 */
export async function startJwksMirror(hub: string, file: string): Promise<JwksMirror> {
  let kept = await readFile(file, 'utf8').catch(() => none);

  async function keys(): Promise<string> {
    try {
      const answer = await fetch(`${hub}${kafkaJwksPath}`, { signal: AbortSignal.timeout(patienceMs) });
      const text = await answer.text();
      if (!answer.ok || text.length > mostBytes || !holdsKeys(text)) return kept;
      if (text !== kept) {
        await writeFile(`${file}.new`, text);
        await rename(`${file}.new`, file);
      }
      kept = text;
    } catch {
      // The hub is away: what it said last holds.
    }
    return kept;
  }

  const server = createServer((_, answer) => {
    void keys().then((text) => answer.writeHead(200, { 'content-type': 'application/json' }).end(text));
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed).listen(0, '127.0.0.1', listening);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    async close() {
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
    },
  };
}

function holdsKeys(text: string): boolean {
  try {
    return Array.isArray((JSON.parse(text) as { keys?: unknown }).keys);
  } catch {
    return false;
  }
}
