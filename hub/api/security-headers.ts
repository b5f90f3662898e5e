import type { MiddlewareHandler } from 'hono';
import type { ApiEnv } from './operator.ts';

const everywhere = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};
/** For all that is no page; a page says itself what it needs. */
const strictPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export function securityHeaders(publicUrl: string): MiddlewareHandler<ApiEnv> {
  const https = publicUrl.startsWith('https:');
  return async (context, next) => {
    await next();
    const { headers } = context.res;
    for (const [name, value] of Object.entries(everywhere)) headers.set(name, value);
    if (!headers.has('content-security-policy')) headers.set('content-security-policy', strictPolicy);
    if (!headers.has('cache-control')) headers.set('cache-control', 'no-store');
    if (https && context.get('https')) headers.set('strict-transport-security', 'max-age=31536000');
  };
}
