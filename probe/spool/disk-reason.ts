/** What a disk's refusal means for the person who can act. */
export function diskReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full: free some space';
    case 'EROFS':
      return 'the disk is read-only: mount it writable';
    case 'EACCES':
    case 'EPERM':
      return 'the spool may not be written by this user: change its owner';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many files are open: raise the limit';
    default:
      return message ?? String(error);
  }
}
