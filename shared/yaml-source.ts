import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml';
import type { DocumentPath } from './document-problem.ts';

/** Counted from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface YamlFault extends Partial<Position> {
  readonly message: string;
}

export interface YamlSource {
  readonly value: unknown;
  /** Where the key or list entry at this path is written; the nearest thing around it where it is not there. */
  position(path: DocumentPath): Position | null;
}

export const maxFileBytes = 16 * 1024 * 1024;
/** Values that a file may grow to when its aliases are followed: a few lines can stand for billions. */
const maxValues = 2_000_000;

/** YAML 1.2 with merge keys (`<<`), so JSON too. All faults at once; no file makes it throw. */
export function readYaml(text: string): YamlSource | { readonly faults: readonly YamlFault[] } {
  if (text.length > maxFileBytes || new TextEncoder().encode(text).length > maxFileBytes) {
    return { faults: [{ message: 'is larger than 16 MiB: split it into several files' }] };
  }
  const lines = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      merge: true,
      // 'silent' would leave out that there are several documents; nothing is ever printed.
      logLevel: 'error',
    });
    const problems = [...document.errors, ...document.warnings];
    if (problems.length > 0) {
      return { faults: problems.map((problem) => ({ ...at(problem.pos[0]), message: inWords(problem) })) };
    }
    const targets = aliasTargets(document);
    const fault = aliasFault(document, targets, at);
    if (fault) return { faults: [fault] };
    const value = valueOfDocument(document);
    if ('message' in value) return { faults: [value] };
    return {
      ...value,
      position: (path) => {
        const offset = offsetOf(document, targets, path);
        return offset === null ? null : at(offset);
      },
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { faults: [{ message: 'is nested too deeply' }] };
  }
}

function valueOfDocument(document: Document): { readonly value: unknown } | YamlFault {
  try {
    return { value: document.toJS({ maxAliasCount: -1 }) as unknown };
  } catch (error) {
    if (!(error instanceof Error) || error instanceof RangeError) throw error;
    // Such as `<<: 5`: found only while values are made, and without a place.
    return { message: lowerFirst(error.message) };
  }
}

const words: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'this key stands twice',
  MULTIPLE_DOCS: 'holds several documents (---): give each a file of its own',
  TAB_AS_INDENT: 'a tab cannot indent: use spaces',
};

function inWords({ code, message }: YAMLError): string {
  return words[code] ?? lowerFirst(message.replace(/\.$/, ''));
}

function lowerFirst(text: string): string {
  return text.replace(/^[A-Z](?=[a-z])/, (first) => first.toLowerCase());
}

type AliasTargets = ReadonlyMap<Alias, unknown>;

/** What each alias stands for: the last node above it with that anchor. In one walk, where `resolve` takes one each. */
function aliasTargets(document: Document): AliasTargets {
  const anchors = new Map<string, unknown>();
  const targets = new Map<Alias, unknown>();
  visit(document, {
    Alias: (_key, alias) => {
      targets.set(alias, anchors.get(alias.source));
    },
    Value: (_key, node) => {
      if (node.anchor) anchors.set(node.anchor, node);
    },
  });
  return targets;
}

/** Counts what the document becomes once its aliases are followed, without following them. */
function aliasFault(
  document: Document,
  targets: AliasTargets,
  at: (offset: number) => Position,
): YamlFault | null {
  if (targets.size === 0) return null;
  const counts = new Map<unknown, number>();
  const open = new Set<unknown>();
  let fault: YamlFault | null = null;
  const count = (node: unknown): number => {
    if (isAlias(node)) {
      const target = targets.get(node);
      if (target !== undefined && !open.has(target)) return count(target);
      const what =
        target === undefined ? `has no anchor '&${node.source}' above it` : 'stands inside its own anchor';
      fault ??= { ...at(rangeStart(node) ?? 0), message: `'*${node.source}' ${what}` };
      return 0;
    }
    const counted = counts.get(node);
    if (counted !== undefined) return counted;
    if (!isMap(node) && !isSeq(node)) return 1;
    open.add(node);
    let sum = 1;
    for (const item of node.items) sum += isPair(item) ? 1 + count(item.value) : count(item);
    open.delete(node);
    counts.set(node, sum);
    return sum;
  };
  const grown = count(document.contents);
  if (fault || grown <= maxValues) return fault;
  return { message: 'its aliases stand for more than 2000000 values: write less with them' };
}

function offsetOf(document: Document, targets: AliasTargets, path: DocumentPath): number | null {
  const follow = (node: unknown) => (isAlias(node) ? targets.get(node) : node);
  const pairOf = (map: unknown, key: string): unknown => {
    if (!isMap(map)) return null;
    const own = map.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === key);
    if (own) return own;
    const merged = map.items.filter((pair) => isScalar(pair.key) && pair.key.source === '<<');
    for (const { value } of merged) {
      for (const source of isSeq(value) ? value.items : [value]) {
        const found = pairOf(follow(source), key);
        if (found) return found;
      }
    }
    return null;
  };
  let node: unknown = document.contents;
  let offset = rangeStart(node);
  for (const step of path) {
    const target = follow(node);
    const found = isSeq(target) ? target.items[Number(step)] : pairOf(target, String(step));
    if (!found) break;
    offset = rangeStart(isPair(found) ? found.key : found) ?? offset;
    node = isPair(found) ? found.value : found;
  }
  return offset;
}

function rangeStart(node: unknown): number | null {
  const range = (node as { range?: readonly number[] | null } | null)?.range;
  return range?.[0] ?? null;
}
