// Thousands of probes that poll for leases and fetch their assignments, each with a key and a connection of its own,
// in one process. They back off as probes do. Tells a line of JSON a second, and one for each new shard.
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { zstdDecompressSync } from 'node:zlib';
import { createBackoff } from '../../../probe/hub/backoff.ts';
import { bodyHash, signProof } from '../../../shared/request-proof.ts';
import { type Answer, openLine } from './line.ts';
import { benchProbeKey } from './probe-key.ts';

export interface PollArguments {
  /** Numbers of the probes, from 1; a probe's number is its id. */
  readonly from: number;
  readonly to: number;
  readonly regions: number;
  readonly publicUrl: string;
  /** Replicas at first; `{ports}` on standard input names others. Who gets no answer goes to the next. */
  readonly ports: readonly number[];
  /** First requests are spread over so long. */
  readonly spreadMs: number;
}

/** A line on its standard input. */
export interface PollOrder {
  readonly ports?: readonly number[];
  readonly telling?: boolean;
  /** Nobody is settled any more until its next lease. */
  readonly anew?: boolean;
}

/** What happened in the last second, and how it stands. */
export interface PollSecond {
  readonly kind: 'second';
  readonly leases: number;
  readonly answers: number;
  readonly errors: Readonly<Record<string, number>>;
  /** Bytes of manifests and shards. */
  readonly assignmentBytes: number;
  /** Probes that have all they were told of, and whose last request went well. */
  readonly settled: number;
}

export interface PollShard {
  readonly kind: 'shard';
  readonly region: number;
  readonly probe: number;
  readonly shard: number;
  /** Epoch milliseconds, with fractions. */
  readonly atMs: number;
  /** Lease, manifest and shard, all that had to travel. */
  readonly bytes: number;
}

const given = JSON.parse(process.argv[2] ?? '{}') as PollArguments;
const pollTimeoutMs = 15_000;
const leastTurnMs = 100;
const say = (line: PollSecond | PollShard) => process.stdout.write(`${JSON.stringify(line)}\n`);

let leases = 0;
let answers = 0;
let errors: Record<string, number> = {};
let assignmentBytes = 0;
const settled = new Set<number>();
let { ports } = given;
/** Shards are told of one by one once all are there: of the first fetch only the sum. */
let telling = false;
// It ends with who started it.
process.stdin.once('end', () => process.exit());
createInterface(process.stdin).on('line', (text) => {
  const told = JSON.parse(text) as PollOrder;
  ports = told.ports ?? ports;
  telling = told.telling ?? telling;
  if (told.anew) settled.clear();
});

async function runProbe(n: number): Promise<void> {
  const { privateKey, kid } = benchProbeKey(n);
  const region = 1 + (n % given.regions);
  let turn = n;
  const line = openLine(() => ({
    host: '127.0.0.1',
    port: ports[turn % ports.length] ?? 0,
    from: `127.0.0.${1 + (n % 20)}`,
  }));
  const backoff = createBackoff({ firstMs: 500, mostMs: 10_000 });
  const stream = n.toString(16).padStart(32, '0');
  const shards = new Map<number, string>();
  let nonce = '';
  let have = 0;
  let manifest: string | null = null;

  async function once(method: string, path: string, body: string, timeoutMs: number): Promise<Answer> {
    const htu = `${given.publicUrl}${path}`;
    const proof = await signProof(privateKey, kid, {
      htm: method,
      htu,
      bh: bodyHash(Buffer.from(body)),
      nonce,
    });
    const host = new URL(given.publicUrl).host;
    const type = body ? 'content-type: application/json\r\n' : '';
    const head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\naccept-encoding: zstd, gzip\r\nparallax-proof: ${proof}\r\n${type}`;
    const answer = await line.ask(head, body, timeoutMs);
    answers += 1;
    nonce = answer.headers.get('parallax-nonce') ?? nonce;
    return answer;
  }

  async function request(method: string, path: string, body: string, timeoutMs: number): Promise<Answer> {
    const answer = await once(method, path, body, timeoutMs);
    return answer.status === 401 ? once(method, path, body, timeoutMs) : answer;
  }

  async function fetchDocument(digest: string): Promise<Answer> {
    const answer = await request('GET', `/v1/assignments/${digest}`, '', 30_000);
    if (answer.status !== 200) throw new Error(`assignments ${answer.status}`);
    assignmentBytes += answer.bytes;
    return answer;
  }

  async function load(digest: string, leaseBytes: number): Promise<void> {
    const found = await fetchDocument(digest);
    const listed = (JSON.parse(textOf(found)) as { shards: { shard: number; digest: string }[] }).shards;
    const known = new Map(shards);
    shards.clear();
    for (const each of listed) shards.set(each.shard, each.digest);
    for (const each of listed) {
      if (known.get(each.shard) === each.digest) continue;
      const { bytes } = await fetchDocument(each.digest);
      if (!telling) continue;
      const atMs = performance.timeOrigin + performance.now();
      say({
        kind: 'shard',
        region,
        probe: n,
        shard: each.shard,
        atMs,
        bytes: bytes + found.bytes + leaseBytes,
      });
    }
  }

  async function poll(): Promise<void> {
    const body = JSON.stringify({
      have,
      manifest,
      capacity: 500,
      noise: 300,
      dropped: 0,
      streams: [{ stream, lastSeq: 5 }],
      spoolBytes: 0,
      version: '0.0.0-bench',
      runtime: 'node 24',
    });
    const answer = await request('POST', '/v1/lease', body, pollTimeoutMs);
    if (answer.status !== 200) {
      const after = Number(answer.headers.get('retry-after'));
      count(`lease ${answer.status}`);
      settled.delete(n);
      await backoff.wait(never, after > 0 ? after * 1000 : 0);
      return;
    }
    leases += 1;
    const { lease = '' } = JSON.parse(answer.body.toString('utf8')) as { lease?: string };
    const claims = JSON.parse(Buffer.from(lease.split('.')[1] ?? '', 'base64url').toString('utf8')) as {
      version: number;
      manifest: string;
    };
    if (claims.version <= have) throw new Error('a lease that is not newer');
    have = claims.version;
    if (claims.manifest !== manifest) await load(claims.manifest, answer.bytes);
    manifest = claims.manifest;
    settled.add(n);
    backoff.reset();
  }

  await sleep(Math.random() * given.spreadMs);
  for (;;) {
    const sinceMs = performance.now();
    try {
      await poll();
      await sleep(Math.max(0, leastTurnMs - (performance.now() - sinceMs)));
    } catch (error) {
      count(error instanceof Error ? ((error as { code?: string }).code ?? error.message) : String(error));
      settled.delete(n);
      turn += 1;
      line.close();
      await backoff.wait(never);
    }
  }
}

const never = new AbortController().signal;

function count(what: string): void {
  errors[what] = (errors[what] ?? 0) + 1;
}

function textOf({ body, headers }: Answer): string {
  return (headers.get('content-encoding') === 'zstd' ? zstdDecompressSync(body) : body).toString('utf8');
}

setInterval(() => {
  say({ kind: 'second', leases, answers, errors, assignmentBytes, settled: settled.size });
  [leases, answers, assignmentBytes, errors] = [0, 0, 0, {}];
}, 1000);
for (let n = given.from; n <= given.to; n += 1) void runProbe(n);
