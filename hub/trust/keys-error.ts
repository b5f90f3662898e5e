/** Why the hub's keys cannot be used, in one line for the person who can act on it. */
export class KeysError extends Error {
  readonly code: /** Others than this user can read or write them. */
    | 'exposed'
    | 'damaged'
    /** Files are missing or cannot be read. */
    | 'unreadable'
    | 'unwritable'
    /** The root key is needed and is not here. */
    | 'root_away'
    /** Another database's. */
    | 'foreign'
    /** Somebody else is changing them. */
    | 'in_use';

  constructor(code: KeysError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'KeysError';
    this.code = code;
  }
}
