import * as z from 'zod';

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of '250ms', '30s', '1.5m', '1h', '1d'; null where the text is none. */
export function parseDuration(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  if (!match) return null;
  const ms = Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
  return Number.isSafeInteger(ms) ? ms : null;
}

/** The shortest exact form: 90000 is '90s', 60000 is '1m'. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (ms >= unitMs[unit] && ms % unitMs[unit] === 0) return `${ms / unitMs[unit]}${unit}`;
  }
  return `${ms}ms`;
}

/** A duration in a document: text like '30s', bounds included. Decodes to integer milliseconds, encodes back to text. */
export function duration(least: string, most: string) {
  const [leastMs, mostMs] = [parseDuration(least), parseDuration(most)];
  if (leastMs === null || mostMs === null) throw new Error(`not a duration: ${least} or ${most}`);
  return z.codec(z.string().max(20).meta({ example: '30s' }), z.int(), {
    decode(text, context) {
      const ms = parseDuration(text);
      const within = ms !== null && ms >= leastMs && ms <= mostMs;
      if (within) return ms;
      const message =
        ms === null
          ? `'${text}' is not a duration like 500ms, 30s, 5m, 1h or 1d`
          : `${text} is not within ${least} to ${most}`;
      context.issues.push({ code: 'custom', input: text, message });
      return z.NEVER;
    },
    encode: formatDuration,
  });
}

const unitBytes = {
  B: 1,
  kB: 1000,
  KB: 1000,
  MB: 1_000_000,
  GB: 1_000_000_000,
  KiB: 1024,
  MiB: 1_048_576,
  GiB: 1_073_741_824,
} as const;

/** Bytes of '64KiB', '1MiB', '500kB', '100B'; null where the text is none. */
export function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)$/.exec(text.trim());
  if (!match) return null;
  const bytes = Number(match[1]) * unitBytes[match[2] as keyof typeof unitBytes];
  return Number.isSafeInteger(bytes) ? bytes : null;
}

export function formatBytes(bytes: number): string {
  if (bytes >= 1_048_576 && bytes % 1_048_576 === 0) return `${bytes / 1_048_576}MiB`;
  if (bytes >= 1024 && bytes % 1024 === 0) return `${bytes / 1024}KiB`;
  return `${bytes}B`;
}

/** An amount of bytes in a document. Decodes to an integer number of bytes, encodes back to text. */
export function byteSize(most: string) {
  const mostBytes = parseBytes(most);
  if (mostBytes === null) throw new Error(`not a size: ${most}`);
  return z.codec(z.string().max(20).meta({ example: '1MiB' }), z.int(), {
    decode(text, context) {
      const bytes = parseBytes(text);
      if (bytes !== null && bytes <= mostBytes) return bytes;
      const message =
        bytes === null ? `'${text}' is not a size like 512B, 64KiB or 1MiB` : `${text} is more than ${most}`;
      context.issues.push({ code: 'custom', input: text, message });
      return z.NEVER;
    },
    encode: formatBytes,
  });
}
