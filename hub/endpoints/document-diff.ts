import { canonicalJson } from '../../shared/assignment.ts';
import { type DocumentPath, pathText } from '../../shared/document-problem.ts';
import { sealedMark } from '../../shared/endpoint-secrets.ts';
import type { SealedDocument } from '../trust/sealed-secrets.ts';

/** One field that differs. Absent sides are left out; a secret shows as `<sealed>` on both. */
export interface FieldChange {
  readonly path: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

/** Lists are one value: where a line of them moved is nobody's question. */
export function diffDocuments(before: SealedDocument, after: SealedDocument): FieldChange[] {
  const fields = [...differences(before.spec, after.spec, [])];
  const secrets = Object.keys(after.sealed).filter(
    (field) => before.sealed[field] !== undefined && before.sealed[field] !== after.sealed[field],
  );
  return [...fields, ...secrets.map((path) => ({ path, before: sealedMark, after: sealedMark }))];
}

function* differences(before: unknown, after: unknown, path: DocumentPath): Generator<FieldChange> {
  if (isRecord(before) && isRecord(after)) {
    for (const key of new Set([...Object.keys(after), ...Object.keys(before)])) {
      yield* differences(before[key], after[key], [...path, key]);
    }
  } else if (canonicalJson(before ?? null) !== canonicalJson(after ?? null)) {
    yield {
      path: pathText(path),
      ...(before === undefined ? {} : { before }),
      ...(after === undefined ? {} : { after }),
    };
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
