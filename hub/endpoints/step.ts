import { canonicalJson } from '../../shared/assignment.ts';
import type { DocumentProblem } from '../../shared/document-problem.ts';
import type { EndpointDocument } from '../../shared/endpoint.ts';
import type { EndpointRow } from '../store/endpoint-row.ts';
import { endpointRowHolds, signEndpointRow } from '../trust/endpoint-rows.ts';
import type { HubKeys } from '../trust/keys.ts';
import { type SecretBox, sealDocument } from '../trust/sealed-secrets.ts';
import { diffDocuments, type FieldChange } from './document-diff.ts';
import type { ReadDocument } from './read-documents.ts';

export interface EndpointChange {
  readonly action: 'create' | 'update' | 'delete';
  /** Null for one that a dry run would make. */
  readonly id: number | null;
  readonly name: string;
  readonly rev: number;
  /** Its name before, where that changes. */
  readonly renamedFrom: string | null;
  /** What differs, for an update. */
  readonly fields: readonly FieldChange[];
}

/** One endpoint's way from what it was to what it is to be. */
export interface Step {
  readonly action: EndpointChange['action'];
  /** As it is shown; null where it was not there or its row does not hold. */
  readonly before: EndpointRow | null;
  readonly after: EndpointRow;
}

/** Makes steps: pure but for the sealing, which takes random numbers. */
export interface Steps {
  /** The row where its HMAC holds. */
  trusted(row: EndpointRow | null): EndpointRow | null;
  /** The row a document becomes; `unchanged` where it is what is there already. */
  next(
    read: ReadDocument,
    found: EndpointRow | null,
    made: { readonly id: number; readonly source: string; readonly at: number },
  ): Step | 'unchanged' | { readonly problems: readonly DocumentProblem[] };
  /** A row that does not hold is not signed by being deleted. */
  removal(found: EndpointRow, at: number): Step;
}

export function createSteps(keys: Pick<HubKeys, 'hmac'>, box: SecretBox): Steps {
  const trusted: Steps['trusted'] = (row) => (row && endpointRowHolds(keys.hmac, row) ? row : null);

  function next(
    read: ReadDocument,
    found: EndpointRow | null,
    made: { readonly id: number; readonly source: string; readonly at: number },
  ): Step | 'unchanged' | { readonly problems: readonly DocumentProblem[] } {
    const before = trusted(found);
    const id = found?.id ?? made.id;
    const sealing = sealDocument(box, id, read.document, before);
    if ('problems' in sealing) return sealing;
    if (before && sameContent(before, sealing)) return 'unchanged';
    const row = {
      id,
      name: read.name,
      rev: (found?.rev ?? 0) + 1,
      ...sealing,
      source: before?.source ?? made.source,
      changedAtUs: made.at,
      deleted: false,
    };
    return { action: found ? 'update' : 'create', before, after: signEndpointRow(keys.hmac, row) };
  }

  function removal(found: EndpointRow, at: number): Step {
    const before = trusted(found);
    const row = { ...found, rev: found.rev + 1, changedAtUs: at, deleted: true, mac: Buffer.alloc(0) };
    return { action: 'delete', before, after: before ? signEndpointRow(keys.hmac, row) : row };
  }

  return { trusted, next, removal };
}

export function changeOf({ action, before, after }: Step, dryRun: boolean): EndpointChange {
  return {
    action,
    id: dryRun && action === 'create' ? null : after.id,
    name: after.name,
    rev: after.rev,
    renamedFrom: before && before.name !== after.name ? before.name : null,
    fields: action === 'update' && before ? diffDocuments(before, after) : [],
  };
}

function sameContent(
  a: { readonly spec: EndpointDocument; readonly sealed: object },
  b: { readonly spec: EndpointDocument; readonly sealed: object },
): boolean {
  return canonicalJson([a.spec, a.sealed]) === canonicalJson([b.spec, b.sealed]);
}
