import type { Endpoint } from '../../shared/endpoint.ts';
import { protocolOfUrl } from '../../shared/protocols.ts';
import { readOrder } from '../orders/read-order.ts';
import { Problem } from '../problem.ts';
import { type CheckForm, type FieldError, methods } from './check-page.tsx';

type Fields = Readonly<Record<string, unknown>>;

/** What a browser posted: a name once, several times or not at all. */
export function formOf(fields: Fields): CheckForm {
  const method = one(fields.method) || 'GET';
  return {
    url: one(fields.url).trim().slice(0, 2048),
    method: method.slice(0, 20),
    status: one(fields.status).trim().slice(0, 100),
    regions: many(fields.regions),
  };
}

function one(value: unknown): string {
  return many(value).at(-1) ?? '';
}

function many(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((item): item is string => typeof item === 'string');
}

/** The endpoint that a form without one describes. Throws Problem 400. */
export function endpointOfForm({ url, method, status }: CheckForm): Endpoint {
  const isHttp = protocolOfUrl(url) === 'http';
  if (!(methods as readonly string[]).includes(method)) {
    throw new Problem(400, 'request.invalid', `there is no method ${method} here`, {
      extra: { errors: [{ path: 'endpoint.request.method', message: `use one of ${methods.join(', ')}` }] },
    });
  }
  const statuses = status.split(/[\s,;]+/).filter(Boolean);
  return readOrder(undefined, {
    url,
    ...(isHttp && {
      request: { method },
      ...(statuses.length > 0 && { expect: { status: statuses.map(statusOf) } }),
    }),
  });
}

const statusOf = (text: string) => (/^\d{3}$/.test(text) ? Number(text) : text);

const fieldOf: readonly (readonly [RegExp, FieldError['field']])[] = [
  [/^(endpoint\.)?url/, 'url'],
  [/^(endpoint\.)?request\.method/, 'method'],
  [/^(endpoint\.)?expect\.status/, 'status'],
  [/^regions/, 'regions'],
];

/** Each of a problem's errors at the field it is about; what is about none stands over the form. */
export function fieldErrors({ message, code, extra }: Problem): readonly FieldError[] {
  const listed = (extra as { errors?: readonly { path: string; message: string }[] } | undefined)?.errors;
  if (!listed || listed.length === 0)
    return [{ field: code.startsWith('region.') ? 'regions' : null, message }];
  return listed.map(({ path, message: text }) => ({
    field: fieldOf.find(([pattern]) => pattern.test(path))?.[1] ?? null,
    message: text,
  }));
}
