import ipaddr from 'ipaddr.js';
import { type DnsQuestion, dnsTypes } from '../../shared/dns-question.ts';
import { formatDuration } from '../../shared/duration.ts';
import type { DnsExpect, RecordPatterns } from '../../shared/endpoint-dns.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Pattern } from '../../shared/pattern.ts';
import type { TextTest } from './body-judge.ts';
import { type DnsMessage, dnsFlagNames } from './dns-message.ts';
import { type DnsRecord, recordLine } from './dns-record.ts';
import { literalOf } from './literal.ts';

export interface DnsVerdict {
  readonly failure: Failure | null;
  /** Patterns that need an engine: for the worker. */
  readonly tests: readonly TextTest[];
}

/** Patterns are held against so many records of a section: more than fit into any datagram. */
const mostMatched = 500;

/** Holds an answer against what is expected of it; what needs a regular expression is handed on. Pure. */
export function judgeAnswer(expect: DnsExpect, question: DnsQuestion, message: DnsMessage): DnsVerdict {
  const plain =
    judgeRcode(expect, message) ??
    judgeFlags(expect, message) ??
    judgeAnswers(expect, question, message) ??
    judgeTtl(expect, message.answers);
  if (plain) return { failure: plain, tests: [] };
  const tests: TextTest[] = [];
  for (const [section, patterns, records] of [
    ['answer', expect.answers, message.answers],
    ['authority', expect.authority, message.authority],
    ['additional', expect.additional, message.additional],
  ] as const) {
    for (const test of testsOf(section, patterns, records.slice(0, mostMatched).map(recordLine))) {
      const literal = literalOf(test.pattern);
      if (literal === null) tests.push(test);
      else if (test.texts.some((text) => text.includes(literal)) !== test.wanted)
        return { failure: test.failure, tests: [] };
    }
  }
  return { failure: null, tests };
}

function judgeRcode(expect: DnsExpect, { rcode, extendedError }: DnsMessage): Failure | null {
  if ((expect.rcode as readonly string[]).includes(rcode)) return null;
  const why = extendedError === null ? '' : `: ${extendedError}`;
  return failure('expect.rcode', `answered ${rcode}, expected ${expect.rcode.join(' or ')}${why}`);
}

function judgeFlags(expect: DnsExpect, { flags }: DnsMessage): Failure | null {
  for (const name of dnsFlagNames) {
    const wanted = expect.flags[name];
    if (wanted === undefined || wanted === flags[name]) continue;
    const how = wanted ? 'is not set, and should be' : 'is set, and should not be';
    return failure('expect.flags', `the flag ${name} ${how}`);
  }
  return null;
}

function judgeAnswers(expect: DnsExpect, question: DnsQuestion, message: DnsMessage): Failure | null {
  if (message.rcode !== 'NOERROR') return null;
  const own = ofType(question, message.answers);
  if (own.length < expect.minAnswers) {
    const count = own.length === 0 ? 'no' : `only ${own.length}`;
    return failure(
      'expect.answer',
      `${count} ${question.type} ${own.length === 1 ? 'record' : 'records'} in the answer, expected ${expect.minAnswers} or more`,
    );
  }
  if (!expect.answers.equals) return null;
  const wanted = new Map(expect.answers.equals.map((text) => [comparable(question, text), text]));
  const found = new Map(own.map(({ plain }) => [comparable(question, plain), plain]));
  const lacks = [...wanted].filter(([key]) => !found.has(key)).map(([, text]) => text);
  const extra = [...found].filter(([key]) => !wanted.has(key)).map(([, text]) => text);
  if (lacks.length + extra.length === 0) return null;
  const said = [
    ...(lacks.length > 0 ? [`lacks ${lacks.join(', ')}`] : []),
    ...(extra.length > 0 ? [`has ${extra.join(', ')}`] : []),
  ];
  return failure('expect.answer', `the answer is not the expected one: it ${said.join(' and ')}`);
}

/** The records that answer the question itself: aliases on the way, and signatures, are none. */
export function ofType({ type }: DnsQuestion, records: readonly DnsRecord[]): readonly DnsRecord[] {
  return records.filter(({ typeCode }) => typeCode === dnsTypes[type]);
}

/** The same data however it is written: names without their last dot and case, addresses in one form; texts as they are. */
function comparable({ type }: DnsQuestion, text: string): string {
  if (type === 'TXT') return text;
  if (type === 'AAAA' && ipaddr.IPv6.isValid(text)) return ipaddr.IPv6.parse(text).toNormalizedString();
  if (type === 'CAA') return text.replace(/^(\d+ \w+ )"(.*)"$/, '$1$2').trim();
  const words = text.toLowerCase().trim().split(/\s+/);
  return words.map((word) => word.replace(/(.)\.$/, '$1')).join(' ');
}

function judgeTtl({ ttl: { min, max } }: DnsExpect, answers: readonly DnsRecord[]): Failure | null {
  for (const { type, ttlSeconds } of answers) {
    const said = `the ${type} record lives ${ttlSeconds} s`;
    if (min !== undefined && ttlSeconds * 1000 < min)
      return failure('expect.ttl', `${said}, expected at least ${formatDuration(min)}`);
    if (max !== undefined && ttlSeconds * 1000 > max)
      return failure('expect.ttl', `${said}, expected at most ${formatDuration(max)}`);
  }
  return null;
}

function* testsOf(
  section: string,
  { matches, notMatches, everyMatches }: RecordPatterns,
  texts: readonly string[],
): Generator<TextTest> {
  const failed = (how: string) => failure('expect.answer', how);
  for (const pattern of matches)
    yield test(pattern, texts, true, failed(`no record of the ${section} section matches what it should`));
  for (const pattern of notMatches)
    yield test(
      pattern,
      texts,
      false,
      failed(`a record of the ${section} section matches what it should not`),
    );
  const each = failed(`not every record of the ${section} section matches what it should`);
  for (const pattern of everyMatches) for (const text of texts) yield test(pattern, [text], true, each);
}

const test = (pattern: Pattern, texts: readonly string[], wanted: boolean, why: Failure): TextTest => ({
  pattern,
  texts,
  wanted,
  failure: why,
});
