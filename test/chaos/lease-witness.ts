import { decodeJwt, decodeProtectedHeader } from 'jose';
import type { Database } from '../../hub/store/database.ts';
import { leaseClaimsSchema } from '../../shared/lease.ts';

/** A lease that told a probe more than PostgreSQL had committed when it was on the wire. */
export interface TooDurable {
  readonly atMs: number;
  readonly stream: string;
  readonly told: number;
  readonly committed: number;
}

export interface LeaseWitness {
  /** Bytes of an answer to a probe, before they are passed on. */
  readonly sees: (bytes: Buffer, connection: number) => void;
  seen(): number;
  /** Seen since the last call. */
  takeTooDurable(): readonly TooDurable[];
  /** The most that was ever told as durable, by stream. */
  told(): ReadonlyMap<string, number>;
  /** Nobody asks any more for checks that were started before this instant, epoch milliseconds. */
  settle(beforeMs: number): void;
  /** Epoch seconds until which this probe may check at that instant (epoch ms), by the leases seen; null for none. */
  leasedUntil(probeId: number, atMs: number): number | null;
  stop(): Promise<void>;
}

const jws = /eyJ[\w-]+\.[\w-]+\.[\w-]+/g;

/** Reads along what hubs answer to probes, and asks PostgreSQL at once whether it is true. */
export function watchLeases(db: () => Database): LeaseWitness {
  const tails = new Map<number, string>();
  const most = new Map<string, number>();
  const terms = new Map<number, { atMs: number; exp: number }[]>();
  let found: TooDurable[] = [];
  let seen = 0;
  let asking: Promise<void> = Promise.resolve();

  function take(text: string): void {
    const atMs = Date.now();
    let claims: ReturnType<typeof leaseClaimsSchema.safeParse>;
    try {
      if (decodeProtectedHeader(text).typ !== 'lease+jwt') return;
      claims = leaseClaimsSchema.safeParse(decodeJwt(text));
    } catch {
      return;
    }
    if (!claims.success) return;
    seen += 1;
    const { aud, exp, durable } = claims.data;
    const list = terms.get(Number(aud)) ?? [];
    list.push({ atMs, exp });
    terms.set(Number(aud), list);
    const told = durable.filter(({ upTo }) => upTo > 0);
    for (const { stream, upTo } of told) most.set(stream, Math.max(upTo, most.get(stream) ?? 0));
    if (told.length === 0) return;
    // A look a moment later may only find more, never less: what it does not find was told too early.
    asking = asking.then(async () => {
      const streams = told.map(({ stream }) => stream);
      const rows = await db()
        .many<{ stream: string; up_to: number }>(
          'select stream, up_to from streams where stream = any($1::text[])',
          [streams],
        )
        .catch(() => null);
      if (!rows) return;
      const committed = new Map(rows.map((row) => [row.stream, row.up_to]));
      for (const { stream, upTo } of told) {
        const has = committed.get(stream) ?? 0;
        if (upTo > has) found.push({ atMs, stream, told: upTo, committed: has });
      }
    });
  }

  return {
    sees(bytes, connection) {
      const text = (tails.get(connection) ?? '') + bytes.toString('latin1');
      let end = 0;
      for (const match of text.matchAll(jws)) {
        const after = match.index + match[0].length;
        // The last may go on in what comes next.
        if (after === text.length) break;
        take(match[0]);
        end = after;
      }
      tails.set(connection, text.slice(Math.max(end, text.length - 65_536)));
      if (tails.size > 1000) tails.delete(tails.keys().next().value ?? 0);
    },
    seen: () => seen,
    takeTooDurable() {
      const taken = found;
      found = [];
      return taken;
    },
    told: () => most,
    leasedUntil(probeId, atMs) {
      const list = terms.get(probeId) ?? [];
      let until: number | null = null;
      for (const term of list) if (term.atMs <= atMs) until = Math.max(until ?? 0, term.exp);
      return until;
    },
    settle(beforeMs) {
      for (const [probeId, list] of terms) {
        // The last one before it is the one that was in force.
        const inForce = list.findLastIndex(({ atMs }) => atMs < beforeMs);
        if (inForce > 0) terms.set(probeId, list.slice(inForce));
      }
    },
    async stop() {
      await asking;
    },
  };
}
