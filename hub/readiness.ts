import type { Health, Missing } from './api/health.ts';
import type { Bus } from './ingest/bus.ts';
import type { Database } from './store/database.ts';
import type { Keeper } from './store/keeper.ts';

export interface ReadinessOptions {
  readonly db: Database;
  readonly bus: Pick<Bus, 'status'>;
  readonly keeper: Pick<Keeper, 'hasPartition'>;
  /** The newest migration this code knows. */
  readonly schemaVersion: number;
  /** Epoch microseconds. */
  readonly now: () => number;
  readonly stopping: AbortSignal;
}

const believedMs = 1000;
const patienceMs = 2000;

/** What is missing for this replica's work. The database is asked once a second at most, whoever asks us. */
export function createReadiness(options: ReadinessOptions): Health {
  const { db, bus, keeper, schemaVersion, now, stopping } = options;
  let asked = { atMs: Number.NEGATIVE_INFINITY, answer: Promise.resolve<readonly Missing[]>([]) };

  async function askDatabase(): Promise<readonly Missing[]> {
    const patience = Promise.withResolvers<never>();
    const timer = setTimeout(() => patience.reject(new Error(`no answer for ${patienceMs} ms`)), patienceMs);
    const query = db.one<{ version: number | null }>('select max(version) as version from schema_migrations');
    try {
      const { version } = await Promise.race([query, patience.promise]);
      if (version === schemaVersion) return [];
      const way = (version ?? 0) < schemaVersion ? 'run `parallax migrate up`' : 'run the newer Parallax';
      return [{ what: 'schema', why: `it is at ${version}, this Parallax needs ${schemaVersion}: ${way}` }];
    } catch (error) {
      return [{ what: 'database', why: error instanceof Error ? error.message : String(error) }];
    } finally {
      clearTimeout(timer);
      query.catch(() => undefined);
    }
  }

  return async () => {
    if (stopping.aborted) return [{ what: 'hub', why: 'it is stopping' }];
    if (performance.now() - asked.atMs > believedMs) {
      asked = { atMs: performance.now(), answer: askDatabase() };
    }
    const missing = [...(await asked.answer)];
    const { ready, reason } = bus.status();
    if (!ready) missing.push({ what: 'bus', why: reason ?? 'it is not ready' });
    if (!keeper.hasPartition(now())) {
      missing.push({ what: 'partitions', why: 'there is none for results of now: see the log for why' });
    }
    return missing;
  };
}
