import { factsText } from '../../shared/facts.ts';
import { outcomes } from '../../shared/failure.ts';
import { type Result, resultKinds } from '../../shared/result.ts';
import { boolArray, int2Array, int4Array, int8Array, textArray, timestamptzArray } from './binary-array.ts';
import { copyRows } from './copy-rows.ts';
import type { Sql, TransactionSql } from './database.ts';
import { tlsFactsJson } from './tls-facts-json.ts';

/** A result with the region the registry gave it. */
export interface ResultRow {
  readonly regionId: number;
  readonly result: Result;
  /** Where its certificate's facts are stored; without it they stand in the row. */
  readonly tlsId?: bigint | null;
}

/** Larger statements gain nothing (measured), and each holds its parameters in memory twice. */
export const maxRowsPerStatement = 1000;

const columns = `
  endpoint_id, region_id, scheduled_at, probe_id, rev, kind, outcome, suspect, truncated, attempts, redirects,
  status, late_by_us, dns_us, connect_us, tls_us, wait_us, transfer_us, total_us, bytes, failure_code,
  failure_message, first_failure, http_version, remote_ip, tls, tls_id, facts`;

const text = `
insert into results (${columns})
select
  endpoint_id, region_id, scheduled_at, probe_id, rev, kind, outcome, suspect, truncated, attempts, redirects,
  status, late_by_us, dns_us, connect_us, tls_us, wait_us, transfer_us, total_us, bytes, failure_code,
  failure_message, first_failure, http_version, remote_ip, tls::jsonb, tls_id::int8, facts::jsonb
from unnest(
  $1::int8[], $2::int2[], $3::timestamptz[], $4::int8[], $5::int4[], $6::int2[], $7::int2[], $8::bool[],
  $9::bool[], $10::int2[], $11::int2[], $12::int2[], $13::int4[], $14::int4[], $15::int4[], $16::int4[],
  $17::int4[], $18::int4[], $19::int4[], $20::int8[], $21::text[], $22::text[], $23::text[], $24::text[],
  $25::text[], $26::text[], $27::text[], $28::text[]
) as t (${columns})
on conflict do nothing`;

/** Returns how many were not there yet. At most maxRowsPerStatement rows; each must have its partition. */
export async function insertResults(sql: Sql, rows: readonly ResultRow[]): Promise<number> {
  const results = rows.map(({ result }) => result);
  const pick = <T>(of: (result: Result) => T): T[] => results.map(of);
  return sql.run(text, [
    int8Array(pick((r) => r.endpointId)),
    int2Array(rows.map((row) => row.regionId)),
    timestamptzArray(pick((r) => r.scheduledAt)),
    int8Array(pick((r) => r.probeId)),
    int4Array(pick((r) => r.rev)),
    int2Array(pick((r) => kindNumber[r.kind])),
    int2Array(pick((r) => outcomeNumber[r.outcome])),
    boolArray(pick((r) => r.suspect)),
    boolArray(pick((r) => r.truncated)),
    int2Array(pick((r) => r.attempts)),
    int2Array(pick((r) => r.redirects)),
    int2Array(pick((r) => r.status)),
    int4Array(pick((r) => clampInt4(r.lateBy))),
    int4Array(pick((r) => clampInt4(r.timings.dns))),
    int4Array(pick((r) => clampInt4(r.timings.connect))),
    int4Array(pick((r) => clampInt4(r.timings.tls))),
    int4Array(pick((r) => clampInt4(r.timings.wait))),
    int4Array(pick((r) => clampInt4(r.timings.transfer))),
    int4Array(pick((r) => clampInt4(r.timings.total))),
    int8Array(pick((r) => r.bytes)),
    textArray(pick((r) => r.failure?.code ?? null)),
    textArray(pick((r) => r.failure?.message ?? null)),
    textArray(pick((r) => r.firstFailure)),
    textArray(pick((r) => r.httpVersion)),
    textArray(pick((r) => r.remoteIp)),
    textArray(rows.map(tlsOf)),
    textArray(rows.map(({ tlsId = null }) => (tlsId === null ? null : String(tlsId)))),
    textArray(pick((r) => factsOf(r))),
  ]);
}

/** Of a row without a failure, as most are. */
const usualRowBytes = 220;

/**
 * The same for rows of which none is there yet: throws PostgreSQL's unique_violation where one is, or two are alike,
 * and then nothing of the statement is kept. No look for conflicts before each row and pages written whole: 14.0 us of
 * PostgreSQL's CPU a row in place of 18.8, 617 bytes of WAL in place of 720 (measured, newest results included).
 */
export async function copyResults(sql: TransactionSql, rows: readonly ResultRow[]): Promise<number> {
  const out = copyRows(rows.length * usualRowBytes);
  for (const row of rows) {
    const { regionId, result: r, tlsId = null } = row;
    out.row(28);
    out.int8(r.endpointId);
    out.int2(regionId);
    out.timestamptz(r.scheduledAt);
    out.int8(r.probeId);
    out.int4(r.rev);
    out.int2(kindNumber[r.kind]);
    out.int2(outcomeNumber[r.outcome]);
    out.bool(r.suspect);
    out.bool(r.truncated);
    out.int2(r.attempts);
    out.int2(r.redirects);
    out.int2(r.status);
    out.int4(clampInt4(r.lateBy));
    out.int4(clampInt4(r.timings.dns));
    out.int4(clampInt4(r.timings.connect));
    out.int4(clampInt4(r.timings.tls));
    out.int4(clampInt4(r.timings.wait));
    out.int4(clampInt4(r.timings.transfer));
    out.int4(clampInt4(r.timings.total));
    out.int8(r.bytes);
    out.text(r.failure?.code ?? null);
    out.text(r.failure?.message ?? null);
    out.text(r.firstFailure);
    out.text(r.httpVersion);
    out.text(r.remoteIp);
    out.jsonb(tlsOf(row));
    out.bigint(tlsId);
    out.jsonb(factsOf(r));
  }
  return sql.copy(`copy results (${columns}) from stdin (format binary)`, out.end());
}

function factsOf({ facts }: Result): string | null {
  return facts && factsText(facts);
}

function tlsOf({ result: { tls }, tlsId = null }: ResultRow): string | null {
  return tls && tlsId === null ? tlsFactsJson(tls) : null;
}

/** As they stand in the columns `kind` and `outcome`. */
export const kindNumber = numbersOf(resultKinds);
export const outcomeNumber = numbersOf(outcomes);

function numbersOf<Word extends string>(words: readonly Word[]): Readonly<Record<Word, number>> {
  return Object.fromEntries(words.map((word, index) => [word, index])) as Record<Word, number>;
}

/** The columns hold 35 minutes; a timeout may be longer and a machine may sleep for days: then it is "at least". */
export function clampInt4<T extends number | null>(value: T): T {
  return value !== null && value > 2_147_483_647 ? (2_147_483_647 as T) : value;
}
