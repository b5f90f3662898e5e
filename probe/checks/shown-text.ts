import { clipUtf8 } from '../../shared/failure.ts';

/** Control characters, and those that change the direction of the text around them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is escaped
const unshowable = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\\]/g;
const short: Readonly<Record<string, string>> = { '\\': '\\\\', '\r': '\\r', '\n': '\\n', '\t': '\\t' };

/** A stranger's text on one line, what cannot be shown written as `\x00` or `\u202e`; at most `mostBytes` of UTF-8. */
export function shownText(text: string, mostBytes = 200): string {
  const escaped = text.replace(unshowable, (one) => {
    const code = one.charCodeAt(0).toString(16);
    return short[one] ?? (code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`);
  });
  return clipUtf8(escaped, mostBytes);
}
