/** What Node says of a connection that cannot be had or broke. */
const network = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
  'ENOENT',
]);

/** "Not currently accepting connections", among others; a transaction, or a statement, that took longer than we let it. */
const notNow = new Set(['55000', '25P03', '57014']);

/**
 * Whether an error says that the database is away or too busy for now, so that the same may work later: connection
 * trouble (class 08), no resources (53), an operator's shutdown or a start (57P), and the client's own time limits.
 */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string') return network.has(code) || /^(08|53|57P)/.test(code) || notNow.has(code);
  if (error instanceof AggregateError) return error.errors.some(isDatabaseAway);
  return /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|timeout expired|Client has encountered a connection error)/.test(
    error.message,
  );
}
