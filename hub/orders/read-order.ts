import type { Endpoint } from '../../shared/endpoint.ts';
import { validateEndpoint } from '../../shared/endpoint-document.ts';
import { Problem } from '../problem.ts';

const mostTimeoutMs = 8000;

/** What is to be checked now, of a bare URL or a document. Throws Problem 400 with one entry a field. */
export function readOrder(url: string | undefined, document: Record<string, unknown> | undefined): Endpoint {
  if ((url === undefined) === (document === undefined))
    throw new Problem(400, 'request.invalid', 'give either url or endpoint');
  const given = document ?? { url };
  const read = validateEndpoint({ name: 'check', interval: '1d', timeout: '8s', ...given });
  if ('problems' in read) {
    const errors = read.problems.map(({ path, message }) => ({
      path: ['endpoint', ...path].join('.'),
      message,
    }));
    throw new Problem(400, 'request.invalid', errors[0]?.message ?? 'the endpoint is not valid', {
      extra: { errors },
    });
  }
  return withinOrder(read.endpoint);
}

/** A check on demand has eight seconds, so that its answer is here within ten. */
export function withinOrder(endpoint: Endpoint): Endpoint {
  return { ...endpoint, timeout: Math.min(endpoint.timeout ?? mostTimeoutMs, mostTimeoutMs) };
}
