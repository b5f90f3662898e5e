/**
 * How much of what is refused is kept whole, by this process in an hour, whoever sent it and why: beside the 100 rows
 * of one reason and probe this bounds what many liars, or one under many reasons, write.
 */
export interface RejectRoom {
  /** How many of these rows may be kept. */
  rows(wanted: number): number;
  /** How many bytes of a content may be kept. */
  bytes(wanted: number): number;
}

export interface RejectRoomOptions {
  /** Epoch microseconds. */
  readonly now: () => number;
  readonly maxRows?: number;
  readonly maxBytes?: number;
}

const hourUs = 3_600_000_000;

export function createRejectRoom(options: RejectRoomOptions): RejectRoom {
  const { now, maxRows = 10_000, maxBytes = 16 * 1024 * 1024 } = options;
  let hour = -1;
  let left = { rows: 0, bytes: 0 };

  function take(what: 'rows' | 'bytes', wanted: number): number {
    const atHour = Math.floor(now() / hourUs);
    if (atHour !== hour) left = { rows: maxRows, bytes: maxBytes };
    hour = atHour;
    const given = Math.min(wanted, left[what]);
    left[what] -= given;
    return given;
  }

  return { rows: (wanted) => take('rows', wanted), bytes: (wanted) => take('bytes', wanted) };
}
