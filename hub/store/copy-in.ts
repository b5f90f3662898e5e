import type pg from 'pg';

/** How much is handed to the socket at a time: pg copies each piece once. */
const pieceBytes = 64 * 1024;

interface Answer {
  readonly rows: number;
}

/**
 * `copy ... from stdin`: the server takes rows as they are, without parsing or planning, a page of them at a time.
 * Returns how many it took. One row that it refuses fails the statement, and with it the transaction.
 */
export function copyIn(client: pg.ClientBase, text: string, data: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    client.query(
      copyQuery(text, data, (error, answer) => (error ? reject(error) : resolve(answer?.rows ?? 0))),
    );
  });
}

/** What pg calls for a statement of its own kind: see pg's lib/query.js. `callback` is what its timeouts call too. */
function copyQuery(
  text: string,
  data: Buffer,
  callback: (error: Error | null | undefined, answer?: Answer) => void,
) {
  let rows = 0;
  return {
    callback,
    submit(connection: pg.Connection): void {
      connection.query(text);
    },
    handleCopyInResponse(connection: CopyConnection): void {
      for (let at = 0; at < data.length; at += pieceBytes) {
        connection.sendCopyFromChunk(data.subarray(at, at + pieceBytes));
      }
      connection.endCopyFrom();
    },
    handleCommandComplete({ text: tag }: { text: string }): void {
      rows = Number(/^COPY (\d+)$/.exec(tag)?.[1] ?? 0);
    },
    handleReadyForQuery(): void {
      this.callback(null, { rows });
    },
    handleError(error: Error): void {
      this.callback(error);
    },
    handleRowDescription(): void {},
    handleDataRow(): void {},
    handleCopyData(): void {},
    handleEmptyQuery(): void {},
    handlePortalSuspended(): void {},
  };
}

/** What pg's connection has beside what its types say. */
interface CopyConnection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}
