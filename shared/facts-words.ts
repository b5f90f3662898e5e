import type { Facts, FactValue } from './facts.ts';

/**
 * Facts as people read them. A fact's name is its label (`lossPercent: 20` is `loss 20%`), so that what a protocol adds
 * is told without a word here. The texts come from strangers: whoever shows them escapes them.
 */

interface Unit {
  readonly ends: RegExp;
  readonly text: (value: number) => string;
}

const units: readonly Unit[] = [
  { ends: /Percent$/, text: (value) => `${value}%` },
  { ends: /Ms$/, text: (value) => `${rounded(value)} ms` },
  { ends: /Us$/, text: (value) => `${rounded(value / 1000)} ms` },
  { ends: /Seconds$/, text: (value) => `${value} s` },
];
/** Epoch seconds. */
const instants = new Set(['notBefore', 'notAfter', 'thisUpdate', 'nextUpdate']);

/** In one list that reads well in a line. */
const mostInLine = 4;
const mostLines = 12;

/** Lines for a terminal: what is short in the first, each longer list under its label. */
export function factLines(facts: Facts): string[] {
  const short: string[] = [];
  const long: string[] = [];
  for (const [name, value] of Object.entries(facts)) {
    if (value === null) continue;
    if (isLongList(value)) long.push(...listLines(labelOf(name), value));
    else short.push(phrase(name, value));
  }
  const first = short.filter((text) => text !== '').join(', ');
  return [...(first === '' ? [] : [first]), ...long];
}

/** One line of it, for a column of a table. */
export function factsBrief(facts: Facts): string {
  return Object.entries(facts)
    .flatMap(([name, value]) => {
      if (value === null || (isLongList(value) && typeof value[0] === 'object')) return [];
      return [
        isLongList(value)
          ? `${labelOf(name)} ${value.slice(0, 2).map(String).join(', ')}…`
          : phrase(name, value),
      ];
    })
    .filter((text) => text !== '')
    .join(', ');
}

function isLongList(value: FactValue): value is FactValue[] {
  if (!Array.isArray(value) || value.length === 0) return false;
  return (
    value.length > mostInLine || value.some((item) => typeof item === 'object' || String(item).length > 24)
  );
}

function listLines(label: string, list: readonly FactValue[]): string[] {
  const shown = list.slice(0, mostLines).map((item, index) => {
    const left = index === 0 ? label : '';
    return `${left.padEnd(label.length)}  ${itemText(item)}`;
  });
  const more = list.length - shown.length;
  return more > 0 ? [...shown, `${' '.repeat(label.length)}  and ${more} more`] : shown;
}

/** A list's item tells what it is by its place: labels only where a number stands alone. */
function itemText(item: FactValue): string {
  if (item === null || typeof item !== 'object') return String(item);
  if (Array.isArray(item)) return item.map(itemText).join(' ');
  return Object.entries(item)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => (typeof value === 'string' ? value : phrase(name, value)))
    .join('  ');
}

function phrase(name: string, value: FactValue): string {
  if (value === null || value === false) return '';
  if (value === true) return labelOf(name);
  if (Array.isArray(value)) {
    return value.length === 0
      ? ''
      : `${labelOf(name)} ${value.map((item) => valueText(name, item)).join(' ')}`;
  }
  if (typeof value === 'object') return `${labelOf(name)} (${factPhrases(value)})`;
  return `${labelOf(name)} ${valueText(name, value)}`;
}

const factPhrases = (facts: Facts) =>
  Object.entries(facts)
    .map(([name, value]) => phrase(name, value))
    .filter((text) => text !== '')
    .join(', ');

function valueText(name: string, value: FactValue): string {
  if (value === null || typeof value !== 'number') return itemText(value);
  if (instants.has(name)) {
    const date = new Date(value * 1000);
    return Number.isNaN(date.getTime()) ? String(value) : date.toISOString().slice(0, 10);
  }
  return units.find(({ ends }) => ends.test(name))?.text(value) ?? String(value);
}

/** `lossPercent` is `loss`, `answerCount` is `answer count`. */
function labelOf(name: string): string {
  const bare = units.reduce((text, { ends }) => text.replace(ends, ''), name) || name;
  return bare.replace(
    /([a-z0-9])([A-Z])/g,
    (_, before: string, first: string) => `${before} ${first.toLowerCase()}`,
  );
}

const rounded = (value: number) => (value < 10 ? Math.round(value * 100) / 100 : Math.round(value * 10) / 10);
