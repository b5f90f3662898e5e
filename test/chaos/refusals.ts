import type { Refusal, Refusals } from './invariants/invariant.ts';
import type { ChaosNetwork } from './network.ts';

export interface RefusalBook {
  read(): Promise<Refusals>;
  /** Nothing was wrong with these: what comes from now on is fresh. */
  note(refusals: Refusals): void;
}

/**
 * What the hub refused of honest probes, by probe and reason. The counts are whole; of the rows, those of an hour and a
 * reason are capped. Where a database went back, what is refused once more is not fresh.
 */
export function keepRefusals({ db, liar }: Pick<ChaosNetwork, 'db' | 'liar'>): RefusalBook {
  const before = new Map<string, number>();
  const nameOf = ({ probe, reason }: Refusal) => `${probe} ${reason}`;
  return {
    async read() {
      // A false signature says nothing of the probe whose name stands beside it: region.ts counts what the liar sent.
      const all = await db().many<{ probe: string; reason: string; count: number }>(
        `select 'probe-' || coalesce(name, c.probe_id::text) as probe, reason, sum(count)::int8 as count
         from reject_counts c left join probes on probes.id = c.probe_id
         where c.probe_id <> 0 and c.probe_id <> $1::int8 and reason <> 'bad_signature'
         group by c.probe_id, name, reason order by reason, probe`,
        [liar.probeId],
      );
      const fresh = all.map((one) => ({ ...one, count: one.count - (before.get(nameOf(one)) ?? 0) }));
      return { all, fresh: fresh.filter(({ count }) => count > 0) };
    },
    note({ all }) {
      for (const one of all) before.set(nameOf(one), Math.max(one.count, before.get(nameOf(one)) ?? 0));
    },
  };
}
