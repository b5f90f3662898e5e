/** How figures are written on every page, and by the browser's own modules: pure, no Node. */

/** Microseconds as `8.4`, `41` or `1.24 s`: milliseconds go without their unit in a column that says so. */
export function bareMs(us: number): string {
  const ms = us / 1000;
  if (ms >= 10_000) return `${Math.round(ms / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return ms >= 10 ? String(Math.round(ms)) : ms.toFixed(1);
}

/** The same with its unit always. */
export function withUnit(us: number): string {
  const text = bareMs(us);
  return text.endsWith('s') ? text : `${text} ms`;
}

/** A span of seconds in its largest unit, rounded down: `4 s`, `12 min`, `3 h`, `2 d`. */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86_400)} d`;
}

/** The same where there is little room: `4s`, `12m`, `3h`, `2d`. */
export function shortSpan(seconds: number): string {
  return span(seconds).replace(/ (\w)\w*$/, '$1');
}

/** Epoch seconds as `14:32:06 UTC`. */
export function clockTime(at: number): string {
  return `${new Date(at * 1000).toISOString().slice(11, 19)} UTC`;
}

/** Epoch seconds as `2026-03-17 14:32 UTC`. */
export function dayTime(at: number): string {
  return `${new Date(at * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  for (const [power, unit] of [
    [1, 'KiB'],
    [2, 'MiB'],
  ] as const) {
    const value = count / 1024 ** power;
    if (value < 1024) return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
  }
  return `${(count / 1024 ** 3).toFixed(1)} GiB`;
}

const grouped = new Intl.NumberFormat('en');

/** `1,312`. */
export function whole(count: number): string {
  return grouped.format(Math.round(count));
}

/** `1 region`, `6 regions`. */
export function few(count: number, one: string, many = `${one}s`): string {
  return `${whole(count)} ${count === 1 ? one : many}`;
}

/** `a`, `a and b`, `a, b and c`; more than `most` end in `and 4 more`. */
export function listed(words: readonly string[], most = 4): string {
  const shown =
    words.length > most ? [...words.slice(0, most - 1), `${words.length - most + 1} more`] : words;
  if (shown.length < 2) return shown.join('');
  return `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
}
