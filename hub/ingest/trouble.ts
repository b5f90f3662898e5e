/** The database cannot be written now: nothing is lost, the same batches are to be handed over again later. */
export class StoreUnavailable extends Error {
  constructor(cause: unknown) {
    super(`the database cannot take results now: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
    this.name = 'StoreUnavailable';
  }
}

/** The log went on without us: the partition's progress stands elsewhere than the batch. Seek to it. */
export class ProgressConflict extends Error {
  /** Null where the partition has no progress yet. */
  readonly nextOffset: number | null;
  constructor(topic: string, partition: number, offset: number, nextOffset: number | null) {
    super(`${topic}[${partition}]: got offset ${offset}, kafka_progress stands at ${nextOffset}`);
    this.name = 'ProgressConflict';
    this.nextOffset = nextOffset;
  }
}

/** `again`: lost a race, try at once. `data`: these very rows. `away`: everything else, so nothing is refused for it. */
export type Trouble = 'again' | 'data' | 'away';

/**
 * Whose fault a failed transaction is. Only what PostgreSQL says of values (classes 22 data exception, 23 constraint,
 * 54 program limit) and errors of our own code are put down to the data; a missing table, a full disk or a refused
 * password would otherwise send every result there is to the rejects.
 */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof TypeError || error instanceof RangeError) return 'data';
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code)) return 'away';
  if (code.startsWith('40')) return 'again';
  return /^(22|23|54)/.test(code) ? 'data' : 'away';
}

/** No partition of `results` takes the row: a check_violation of the table itself, with no constraint's name. */
export function isPartitionGone(error: unknown): boolean {
  const { code, table, constraint } = (error ?? {}) as { code?: string; table?: string; constraint?: string };
  return code === '23514' && table === 'results' && constraint === undefined;
}
