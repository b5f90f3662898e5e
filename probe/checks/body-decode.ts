import { promisify } from 'node:util';
import {
  brotliDecompress,
  brotliDecompressSync,
  gunzip,
  gunzipSync,
  inflate,
  inflateRaw,
  inflateRawSync,
  inflateSync,
  zstdDecompress,
  zstdDecompressSync,
} from 'node:zlib';
import { type Failure, failure } from '../../shared/failure.ts';

export type Decoded =
  | { readonly bytes: Buffer }
  /** `body.encoding`: the body is not what its Content-Encoding says. */
  | { readonly failure: Failure }
  /** It grows beyond the cap. */
  | { readonly tooLarge: true }
  /** A coding that was not asked for and is not known. */
  | { readonly unknown: string };

interface Limits {
  readonly maxOutputLength: number;
}
type Inflate = (bytes: Buffer, limits: Limits) => Promise<Buffer>;
type InflateNow = (bytes: Buffer, limits: Limits) => Buffer;

/** RFC 9110 calls the zlib format `deflate`; servers that send the bare stream are as old as the mistake. */
const isZlib = (bytes: Buffer) =>
  bytes.length >= 2 && ((bytes[0] ?? 0) & 15) === 8 && bytes.readUInt16BE(0) % 31 === 0;

const gzip = [promisify<Buffer, Limits, Buffer>(gunzip), gunzipSync] as const;
const zlib = promisify<Buffer, Limits, Buffer>(inflate);
const raw = promisify<Buffer, Limits, Buffer>(inflateRaw);
const codings: Readonly<Record<string, readonly [Inflate, InflateNow]>> = {
  gzip,
  'x-gzip': gzip,
  deflate: [
    (bytes, limits) => (isZlib(bytes) ? zlib : raw)(bytes, limits),
    (bytes, limits) => (isZlib(bytes) ? inflateSync : inflateRawSync)(bytes, limits),
  ],
  br: [promisify<Buffer, Limits, Buffer>(brotliDecompress), brotliDecompressSync],
  zstd: [promisify<Buffer, Limits, Buffer>(zstdDecompress), zstdDecompressSync],
};

/** More codings over one another than anybody sends for a good reason. */
const maxCodings = 3;
/** Up to here the event loop does it, above a thread of libuv's pool: 4 KiB inflate to at most 1 MiB within 1 ms. */
const inlineBytes = 4096;
const inlineOutput = 1_048_576;

/**
 * Takes Content-Encoding off, the last coding first, and stops at `maxBytes` of output: a bomb costs no more than
 * an honest body of that size.
 */
export async function decodeBody(bytes: Buffer, contentEncoding: string, maxBytes: number): Promise<Decoded> {
  const named = contentEncoding
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding !== '' && coding !== 'identity');
  if (named.length > maxCodings)
    return { failure: failure('body.encoding', `${named.length} content codings over one another`) };
  let at = bytes;
  for (const coding of named.reverse()) {
    const known = Object.hasOwn(codings, coding) ? codings[coding] : undefined;
    if (!known) return { unknown: coding };
    if (at.length === 0) return { bytes: at };
    const [later, now] = known;
    const limits = { maxOutputLength: maxBytes };
    try {
      at = at.length <= inlineBytes && maxBytes <= inlineOutput ? now(at, limits) : await later(at, limits);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return { tooLarge: true };
      return { failure: failure('body.encoding', `the body is not the ${coding} that its header says`) };
    }
  }
  return { bytes: at };
}

/** A body's text in the charset that its type names, else UTF-8; bytes that are none become U+FFFD. */
export function bodyText(bytes: Buffer, contentType: string | undefined): string {
  const charset = /;\s*charset="?([^\s";]{1,40})/i.exec(contentType ?? '')?.[1]?.toLowerCase();
  if (charset === undefined || charset === 'utf-8' || charset === 'utf8') return bytes.toString('utf8');
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return bytes.toString('utf8');
  }
}
