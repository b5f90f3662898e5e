import type { HttpExpect } from '../../shared/endpoint-http.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Pattern } from '../../shared/pattern.ts';
import type { TlsFacts } from '../../shared/result.ts';
import type { BodyExpectations, TextTest } from './body-judge.ts';
import { literalOf } from './literal.ts';

/** `expect` in the form that is quick to hold against an answer. */
export interface Expectations {
  /** By status code: 1 where it is expected. */
  readonly status: Uint8Array;
  readonly statusText: string;
  readonly httpVersions: readonly string[];
  readonly headers: readonly HeaderExpectation[];
  readonly body: BodyExpectations | null;
  readonly tls: 'required' | 'forbidden' | 'any';
  readonly certDays: number;
  readonly slowerThanMs: number | null;
}

interface HeaderExpectation {
  readonly name: string;
  readonly matches: Pattern | null;
  readonly notMatches: Pattern | null;
  readonly allowMissing: boolean;
}

export function compileExpectations(expect: HttpExpect): Expectations {
  const { body, json } = expect;
  const none = body.matches.length + body.notMatches.length + json.length === 0;
  return {
    status: statusTable(expect.status),
    statusText: expect.status.join(', '),
    httpVersions: expect.httpVersions,
    headers: expect.headers.map((header) => ({
      name: header.name.toLowerCase(),
      matches: header.matches ?? null,
      notMatches: header.notMatches ?? null,
      allowMissing: header.allowMissing,
    })),
    body: none ? null : { matches: body.matches, notMatches: body.notMatches, json },
    tls: expect.tls,
    certDays: expect.certDays,
    slowerThanMs: expect.slowerThan ?? null,
  };
}

/** Thousands of endpoints expect the same few statuses: a kilobyte each would be most of what a plan takes. */
const knownTables = new Map<string, Uint8Array>();
const mostKnownTables = 1000;

function statusTable(patterns: readonly string[]): Uint8Array {
  const key = patterns.join();
  const known = knownTables.get(key);
  if (known) return known;
  const table = new Uint8Array(1000);
  for (const pattern of patterns) {
    const [first = '', last = first] = pattern.replaceAll('x', '0').split('-');
    const end = pattern.endsWith('xx') ? Number(first) + 99 : Number(last);
    table.fill(1, Number(first), end + 1);
  }
  if (knownTables.size >= mostKnownTables) knownTables.clear();
  knownTables.set(key, table);
  return table;
}

export interface Head {
  readonly secure: boolean;
  readonly status: number;
  readonly httpVersion: string;
  readonly headers: readonly Buffer[];
}

export interface HeadVerdict {
  readonly failure: Failure | null;
  /** What is left for the pattern worker: tests of header values. */
  readonly tests: readonly TextTest[];
}

/** Everything that can be said before the body is looked at. */
export function judgeHead(expect: Expectations, head: Head): HeadVerdict {
  const failed = (why: Failure): HeadVerdict => ({ failure: why, tests: [] });
  if (expect.tls === 'required' && !head.secure)
    return failed(failure('expect.tls', 'the answer came without TLS'));
  if (expect.tls === 'forbidden' && head.secure)
    return failed(failure('expect.tls', 'the answer came over TLS'));
  if (expect.status[head.status] !== 1)
    return failed(failure('expect.status', `status ${head.status}, expected ${expect.statusText}`));
  if (expect.httpVersions.length > 0 && !expect.httpVersions.includes(head.httpVersion)) {
    const wanted = expect.httpVersions.join(' or ');
    return failed(failure('expect.version', `HTTP/${head.httpVersion}, expected ${wanted}`));
  }
  const tests: TextTest[] = [];
  for (const header of expect.headers) {
    const values = headerValues(head.headers, header.name);
    if (values.length === 0) {
      if (header.allowMissing) continue;
      return failed(failure('expect.header', `the header ${header.name} is missing`));
    }
    for (const wanted of [true, false]) {
      const pattern = wanted ? header.matches : header.notMatches;
      if (pattern === null) continue;
      const literal = literalOf(pattern);
      const why = headerFailure(header.name, wanted);
      if (literal === null) tests.push({ texts: values, pattern, wanted, failure: why });
      else if (values.some((value) => value.includes(literal)) !== wanted) return failed(why);
    }
  }
  return { failure: null, tests };
}

/** Never the value: it comes from a stranger, and may hold a session. */
function headerFailure(name: string, wanted: boolean): Failure {
  const how = wanted ? 'does not match what it should' : 'matches what it should not';
  return failure('expect.header', `the header ${name} ${how}`);
}

export function headerValues(headers: readonly Buffer[], name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const field = headers[at];
    if (field?.length !== name.length) continue;
    if (field.toString('latin1').toLowerCase() === name)
      values.push(headers[at + 1]?.toString('latin1') ?? '');
  }
  return values;
}

/** What makes an answer that is good otherwise degraded. Null where it is up. */
export function judgeQuality(
  expect: Pick<Expectations, 'certDays' | 'slowerThanMs'>,
  tls: TlsFacts | null,
  totalMs: number,
  nowMs: number,
): { readonly failure: Failure | null } | null {
  if (tls && expect.certDays > 0) {
    const days = Math.floor((tls.notAfter * 1000 - nowMs) / 86_400_000);
    if (days < expect.certDays)
      return {
        failure: failure('expect.cert', `the certificate ends in ${days} days, warned at ${expect.certDays}`),
      };
  }
  if (expect.slowerThanMs !== null && totalMs > expect.slowerThanMs) return { failure: null };
  return null;
}
