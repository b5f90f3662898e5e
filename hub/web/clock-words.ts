import { span, withUnit } from './figures.ts';

/** Null where it does not say. Less than a second is how far a network may mislead. */
export function clockWords(offsetUs: number | null): string | null {
  if (offsetUs === null) return null;
  const off = Math.abs(offsetUs) / 1_000_000;
  const side = offsetUs > 0 ? 'ahead' : 'behind';
  if (off <= 1) return `right: ${withUnit(Math.abs(offsetUs))} ${side} of hub time`;
  return `${span(off)} ${side} of hub time: slots and results go by hub time, no result is wrong for it`;
}
