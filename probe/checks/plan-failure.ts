import { type Failure, failure } from '../../shared/failure.ts';
import { ProbeValueError } from './probe-values.ts';

/** An assignment met this probe and cannot run here: what to change. Of other errors the code alone: what OpenSSL says of a key may quote it. */
export function planFailure(error: unknown): Failure {
  if (error instanceof ProbeValueError) return failure('probe.internal', error.message);
  const code =
    error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.name) : 'unknown error';
  return failure('probe.internal', `the endpoint cannot be prepared: ${code}`);
}
