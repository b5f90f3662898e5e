/** Why the embedded PostgreSQL cannot run, in one line for the person who can act on it. */
export class EmbeddedPostgresError extends Error {
  readonly code:
    | 'unsupported'
    | 'account'
    | 'in_use'
    | 'other_version'
    | 'corrupted'
    | 'unwritable'
    | 'disk_full'
    | 'failed';

  constructor(code: EmbeddedPostgresError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EmbeddedPostgresError';
    this.code = code;
  }
}

/** What the file system said, as one line that says what to do. */
export function fileProblem(error: unknown, path: string): EmbeddedPostgresError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const cause = { cause: error };
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new EmbeddedPostgresError('disk_full', diskFullMessage(path), cause);
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOTDIR' || code === 'EEXIST') {
    return new EmbeddedPostgresError(
      'unwritable',
      `cannot write to ${path} (${code}): give this user the right to, or choose another folder with --data`,
      cause,
    );
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new EmbeddedPostgresError('failed', `${path}: ${detail}`, cause);
}

export function diskFullMessage(path: string): string {
  return `no space is left on the disk of ${path}: free some and start again, nothing that was stored is lost`;
}
