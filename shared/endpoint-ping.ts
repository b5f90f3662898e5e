import * as z from 'zod';
import { duration, formatDuration } from './duration.ts';
import type { ProtocolRules } from './protocol-rules.ts';
import { reachFields } from './request-parts.ts';

/** How a host is pinged. */
export const pingRequestSchema = z.strictObject({
  /** Echo requests of one check. */
  count: z.int().min(1).max(20).default(3),
  /** Between two requests. */
  interval: duration('200ms', '10s').default(200),
  /** Bytes of data in each, 16 of them its time; with the headers of ICMP and IPv4 a packet is 28 bytes larger. */
  size: z.int().min(16).max(8972).default(56),
  /** How many routers a request may pass; unset: what the machine uses. */
  ttl: z.int().min(1).max(255).optional(),
  ...reachFields,
});
export type PingRequest = z.output<typeof pingRequestSchema>;

export const pingExpectSchema = z.strictObject({
  /** Per cent of the requests that may stay without an answer. None answered is down in any case. */
  maxLossPercent: z.number().min(0).max(99).default(0),
  /** Of the average round trip. */
  slowerThan: duration('1ms', '10m').optional(),
  /** Of the average difference between one round trip and the next. */
  maxJitter: duration('1ms', '10m').optional(),
});
export type PingExpect = z.output<typeof pingExpectSchema>;

/** From the first request to the last, milliseconds. */
export const pingSpanMs = ({ count, interval }: Pick<PingRequest, 'count' | 'interval'>): number =>
  (count - 1) * interval;

export const pingRules = {
  schemes: ['ping'],
  request: pingRequestSchema,
  expect: pingExpectSchema,
  url(url) {
    if (!url.hostname) return 'the URL has no host: it is written ping://host';
    if (url.port !== '') return 'a ping has no port: it is written ping://host';
    const more = url.pathname.replace(/^\/$/, '') + url.search + url.hash;
    return more === '' ? null : `'${more}' means nothing here: it is written ping://host`;
  },
  *conflicts({ request }) {
    const span = pingSpanMs(request);
    if (span > 60_000)
      yield {
        path: ['request', 'interval'],
        message: `${request.count} requests take ${formatDuration(span)}: at most 1m is allowed`,
      };
  },
} as const satisfies ProtocolRules<typeof pingRequestSchema, typeof pingExpectSchema>;
