import pg from 'pg';
import { copyIn } from './copy-in.ts';

/** Runs one statement; the name says how many rows are meant. Parameters are `$1`, `$2`, …; a Buffer travels in binary. */
export interface Sql {
  many<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Null for none; throws for more than one. */
  maybeOne<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row | null>;
  /** Throws unless exactly one. */
  one<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row>;
  /** How many rows the statement touched. */
  run(text: string, values?: readonly unknown[]): Promise<number>;
}

/** One connection, between begin and commit. */
export interface TransactionSql extends Sql {
  /** `copy ... from stdin`; returns how many rows were taken. */
  copy(text: string, data: Buffer): Promise<number>;
}

export interface Database extends Sql {
  /** Commits when `work` resolves, rolls back when it throws. */
  transaction<T>(work: (sql: TransactionSql) => Promise<T>): Promise<T>;
  /** Connections: in use, idle, and callers waiting for one. */
  pool(): { total: number; idle: number; waiting: number };
  end(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  readonly maxConnections?: number;
  readonly applicationName?: string;
  /** A statement unanswered for so long fails and its connection is given up; null waits for ever. Default 30 s. */
  readonly queryTimeoutMs?: number | null;
  /** The server ends a transaction that nobody goes on with for so long, and its connection with it. Default 10 s. */
  readonly idleTransactionMs?: number;
  /** Called with errors of idle connections: the pool replaces them by itself. */
  readonly onIdleError?: (error: Error) => void;
}

// bigint and numeric ids here stay far below 2^53; a value past it would be a bug worth seeing.
pg.types.setTypeParser(pg.types.builtins.INT8, (text) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`a bigint past 2^53: ${text}`);
  return value;
});

type Queryable = Pick<pg.ClientBase, 'query'>;

function sqlOver(queryable: Queryable): Sql {
  const rows = async <Row extends object>(text: string, values: readonly unknown[] = []) =>
    (await queryable.query(text, [...values])).rows as Row[];
  return {
    many: rows,
    async maybeOne<Row extends object>(text: string, values?: readonly unknown[]) {
      const found = await rows<Row>(text, values);
      if (found.length > 1) throw new Error(`expected one row at most, got ${found.length}`);
      return found[0] ?? null;
    },
    async one<Row extends object>(text: string, values?: readonly unknown[]) {
      const found = await rows<Row>(text, values);
      if (found.length !== 1 || !found[0]) throw new Error(`expected one row, got ${found.length}`);
      return found[0];
    },
    async run(text, values = []) {
      return (await queryable.query(text, [...values])).rowCount ?? 0;
    },
  };
}

/**
 * A process that was stopped, or whose machine is gone, in the middle of a transaction holds its locks until the server
 * gives it up: by itself after hours. Nor does a statement outlive the client that no longer waits for it. In one round
 * trip with `begin` (some 30 us more on loopback), and not as settings of the connection, which poolers refuse.
 */
function beginWithin(queryTimeoutMs: number, idleTransactionMs: number): string {
  // Later than the client's own limit: who waits hears of that one.
  const statementMs = queryTimeoutMs + 1000;
  return `${beginDurably}; set local idle_in_transaction_session_timeout = ${idleTransactionMs}; set local statement_timeout = ${statementMs}`;
}

/**
 * What is committed is told on, and deleted by probes: with `synchronous_commit` off a server that is killed takes back
 * its last half second. Whatever else is set, for servers with standbys, is their operator's choice.
 */
const beginDurably =
  "begin; select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'";

/** The next statement on that connection fails, and says so. */
const ignored = () => undefined;

export function openDatabase(options: DatabaseOptions): Database {
  const { queryTimeoutMs = 30_000, idleTransactionMs = 10_000 } = options;
  const begin = queryTimeoutMs === null ? beginDurably : beginWithin(queryTimeoutMs, idleTransactionMs);
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.maxConnections ?? 10,
    application_name: options.applicationName ?? 'parallax',
    connectionTimeoutMillis: Math.min(10_000, queryTimeoutMs ?? 10_000),
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    // A stopped server or a lost route answers nothing, not even an error.
    ...(queryTimeoutMs === null ? {} : { query_timeout: queryTimeoutMs }),
  });
  pool.on('error', (error) => options.onIdleError?.(error));
  return {
    ...sqlOver(pool as unknown as Queryable),
    async transaction(work) {
      const client = await pool.connect();
      // The pool hears only idle ones: unheard, an error between two statements would end the process.
      client.on('error', ignored);
      let failed: Error | undefined;
      try {
        await client.query(begin);
        const value = await work({ ...sqlOver(client), copy: (text, data) => copyIn(client, text, data) });
        await client.query('commit');
        return value;
      } catch (error) {
        failed = error instanceof Error ? error : new Error(String(error));
        await client.query('rollback').then(
          () => (failed = undefined),
          () => undefined,
        );
        throw error;
      } finally {
        // A connection that could not roll back is broken: destroy it.
        client.off('error', ignored);
        client.release(failed);
      }
    },
    pool: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    end: () => pool.end(),
  };
}
