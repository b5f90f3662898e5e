import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { getCACertificates } from 'node:tls';
import { promisify } from 'node:util';
import { gunzip, type InputType, zstdDecompress } from 'node:zlib';
import { type Dispatcher, EnvHttpProxyAgent, request } from 'undici';
import { Failed, printable } from '../../shared/command-line.ts';
import { bodyHash, nonceHeader, proofHeader, signProof } from '../../shared/request-proof.ts';
import type { HubAnswer, HubLink } from './hub-link.ts';

export interface HubLinkOptions {
  /** Where the hub is dialled. */
  readonly dial: string;
  /** The hub's public URL: what proofs are bound to. */
  readonly hub: string;
  readonly key: KeyObject;
  readonly kid: string;
  /** HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in either case. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** PEM of an authority to trust beside the public ones (`--hub-ca`). */
  readonly ca: string | null;
}

/** A shard of 100,000 endpoints over 256 shards takes about 400 KiB; with bodies and certificates in each, much more. */
const maxAnswerBytes = 64 * 1024 * 1024;
const connectTimeoutMs = 10_000;

/** A hub that answers more than any hub would. */
export class HubAnswerError extends Error {}

/** Signed requests over undici, through the proxy that the environment names. `close` ends its connections. */
export function openHubLink(options: HubLinkOptions): HubLink & { close(): Promise<void> } {
  const { key, kid, env } = options;
  const dial = options.dial.replace(/\/+$/, '');
  const hub = options.hub.replace(/\/+$/, '');
  const dispatcher = hubDispatcher(env, options.ca);
  /** The newest that the hub told: each answer brings the next. */
  let nonce = '';

  async function once(
    method: 'GET' | 'POST',
    path: string,
    { body, headers, timeoutMs, signal }: Parameters<HubLink['request']>[2],
  ): Promise<HubAnswer> {
    const target = new URL(`${hub}${path}`);
    const proof = await signProof(key, kid, {
      htm: method,
      htu: target.href,
      bh: bodyHash(body ?? new Uint8Array()),
      nonce,
    });
    const answer = await request(`${dial}${path}`, {
      method,
      dispatcher,
      body: body ?? null,
      headers: { ...headers, 'accept-encoding': 'zstd, gzip', [proofHeader]: proof },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    const answered = headersOf(answer.headers);
    nonce = answered.get(nonceHeader) ?? nonce;
    const bytes = await readBounded(answer.body);
    return {
      status: answer.statusCode,
      headers: answered,
      body: await inflate(bytes, answered.get('content-encoding')),
    };
  }

  return {
    async request(method, path, given) {
      const answer = await once(method, path, given);
      // Nonces live a minute: one that passed costs one more request, whatever the probe's clock says.
      return isNonceRefusal(answer) ? once(method, path, given) : answer;
    },
    close: () => dispatcher.destroy(),
  };
}

/** The way to the hub: through the proxy that the environment names, trusting `ca` beside the public authorities. */
export function hubDispatcher(env: HubLinkOptions['env'], ca: string | null): EnvHttpProxyAgent {
  const trust = ca === null ? {} : { ca: [...getCACertificates('default'), ca] };
  const read = (name: string) => env[name.toLowerCase()] || env[name] || '';
  return new EnvHttpProxyAgent({
    httpProxy: read('HTTP_PROXY'),
    httpsProxy: read('HTTPS_PROXY'),
    noProxy: read('NO_PROXY'),
    connect: { ...trust, timeout: connectTimeoutMs },
    requestTls: trust,
    proxyTls: trust,
  });
}

/** The file of `--hub-ca`. Throws Failed. */
export async function readAuthority(file: string): Promise<string> {
  const pem = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Failed(
      `--hub-ca ${file}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
    );
  });
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) {
    throw new Failed(`--hub-ca ${file} holds no certificate: give the authority's as PEM`);
  }
  return pem;
}

function headersOf(raw: Dispatcher.ResponseData['headers']): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(raw)) {
    for (const one of Array.isArray(value) ? value : [value])
      if (one !== undefined) headers.append(name, one);
  }
  return headers;
}

async function readBounded(body: AsyncIterable<Uint8Array> & { destroy(): unknown }): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > maxAnswerBytes) {
      body.destroy();
      throw new HubAnswerError(`the hub's answer is longer than ${maxAnswerBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const inflaters: Readonly<
  Record<string, (bytes: InputType, options: { maxOutputLength: number }) => Promise<Buffer>>
> = { gzip: promisify(gunzip), zstd: promisify(zstdDecompress) };

async function inflate(bytes: Uint8Array, encoding: string | null): Promise<Uint8Array> {
  if (encoding === null || encoding === 'identity' || bytes.length === 0) return bytes;
  const inflater = inflaters[encoding];
  if (!inflater)
    throw new HubAnswerError(`the hub's answer is encoded as ${encoding}, which was not asked for`);
  return inflater(bytes, { maxOutputLength: maxAnswerBytes });
}

function isNonceRefusal({ status, body }: HubAnswer): boolean {
  return status === 401 && problemOf(body).code === 'proof.nonce';
}

/** The code and words of a problem document (RFC 9457), safe to print; of anything else null and ''. */
export function problemOf(body: Uint8Array): { readonly code: string | null; readonly detail: string } {
  try {
    const { code, detail } = JSON.parse(Buffer.from(body).toString('utf8')) as Record<string, unknown>;
    return {
      code: typeof code === 'string' ? printable(code.slice(0, 100)) : null,
      detail: typeof detail === 'string' ? printable(detail.slice(0, 300)) : '',
    };
  } catch {
    return { code: null, detail: '' };
  }
}

/** Why a request did not get through, in one short line. */
export function linkTrouble(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'no answer in time';
  const { code, cause } = error as Error & { code?: string; cause?: unknown };
  if (code === 'ECONNREFUSED') return 'nobody listens there (ECONNREFUSED)';
  if (code === 'ENOTFOUND') return 'its name is not known (ENOTFOUND)';
  if (cause instanceof Error && !error.message) return linkTrouble(cause);
  return error.message || code || error.name;
}
